// Partial gradients of masked_depthwise: dy [N, V, s, s, C], x [N, V, s, s, C], keep [N, V],
// restore [N, S · GH · GW] → weight [chunks, kt · k · k, C], bias [chunks, C].
// One invocation adds `chunk` blocks for up to 5 neighbouring taps of a row of the kernel and elem: since
// loads are what costs, it slides a window of 5 inputs along each row. That of the middle tap also adds dy.
// C counts fours where the channels allow it.

alias elem = f32;
override V: u32; override s: u32; override C: u32;
override S: u32; override GH: u32; override GW: u32;
override kt: u32; override k: u32; // odd
override blocks: u32; override chunk: u32; // blocks = N · V
override size: u32; // chunks · kt · k · ⌈k / 5⌉ · C

@group(0) @binding(0) var<storage, read> dy: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> keep: array<u32>;
@group(0) @binding(3) var<storage, read> restore: array<u32>;
@group(0) @binding(4) var<storage, read_write> weight: array<elem>;
@group(0) @binding(5) var<storage, read_write> bias: array<elem>;

fn store(start: u32, tap: u32, value: elem) {
  if (tap < k) { weight[start + tap * C] = value; }
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let parts = (k + 4u) / 5u; // of a row of taps
  let channel = i % C;
  let part = i / C % parts;
  let empty = parts * 5u - k; // the first part is filled up on its left
  let tap = part * 5u - empty;
  let skip = select(0u, empty, part == 0u);
  let line = i / C / parts; // (chunk's index · kt + slot of the kernel) · k + row of the kernel
  let first = line / kt / k * chunk;
  var a0 = elem(0.0); var a1 = elem(0.0); var a2 = elem(0.0); var a3 = elem(0.0); var a4 = elem(0.0);
  var total = elem(0.0);
  for (var own = first; own < min(first + chunk, blocks); own++) {
    let sample = own / V;
    let place = keep[own];
    let from_slot = place / GW / GH + line / k % kt - kt / 2u; // wraps below zero, and so fails the test
    if (from_slot >= S) { continue; }
    for (var row = 0u; row < s; row++) {
      let from_row = place / GW % GH * s + row + line % k - k / 2u;
      if (from_row >= GH * s) { continue; }
      let places = ((sample * S + from_slot) * GH + from_row / s) * GW;
      var x0 = elem(0.0); var x1 = elem(0.0); var x2 = elem(0.0); var x3 = elem(0.0);
      var block = V;
      var live = 0u; // steps until the window holds nothing visible
      for (var step = skip; step < s + 4u; step++) {
        let from_col = place % GW * s + tap + step - k / 2u;
        if (step == skip || from_col % s == 0u) {
          block = V;
          if (from_col < GW * s) { block = restore[places + from_col / s]; }
        }
        var x4 = elem(0.0);
        if (block < V) {
          x4 = x[(((sample * V + block) * s + from_row % s) * s + from_col % s) * C + channel];
          live = 5u - skip;
        }
        if (step >= 4u && live > 0u) {
          let slope = dy[((own * s + row) * s + step - 4u) * C + channel];
          a0 += slope * x0; a1 += slope * x1; a2 += slope * x2; a3 += slope * x3; a4 += slope * x4;
          total += slope;
        }
        live = max(live, 1u) - 1u;
        x0 = x1; x1 = x2; x2 = x3; x3 = x4;
      }
    }
  }
  let start = line * k * C + channel;
  store(start, tap, a0); store(start, tap + 1u, a1); store(start, tap + 2u, a2);
  store(start, tap + 3u, a3); store(start, tap + 4u, a4);
  if (line % (kt * k) == kt * k / 2u && k / 2u - tap < 5u) { // the middle tap's
    bias[line / kt / k * C + channel] = total;
  }
}
