// Partial gradients of depthwise: dy [N, S, H, W, C], x [N, S, H, W, C] → weight [chunks, kt · k · k, C],
// bias [chunks, C]. One invocation adds `chunk` rows of the maps for up to 5 neighbouring taps of a row of
// the kernel and elem: since loads are what costs, it slides a window of 5 inputs along each row. That of
// the middle tap also adds dy. C counts fours where the channels allow it.

alias elem = f32;
override S: u32; override H: u32; override W: u32; override C: u32;
override kt: u32; override k: u32; // odd
override rows: u32; override chunk: u32; // rows = N · S · H
override size: u32; // chunks · kt · k · ⌈k / 5⌉ · C

@group(0) @binding(0) var<storage, read> dy: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> weight: array<elem>;
@group(0) @binding(3) var<storage, read_write> bias: array<elem>;

// An input of the row that begins at `start`; zero outside, where `col` may have wrapped below zero.
fn input(start: u32, col: u32) -> elem {
  var value = elem(0.0);
  if (col < W) { value = x[start + col * C]; }
  return value;
}

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
  let tap = i / C % parts * 5u;
  let line = i / C / parts; // (chunk's index · kt + slot of the kernel) · k + row of the kernel
  let first = line / kt / k * chunk;
  var a0 = elem(0.0); var a1 = elem(0.0); var a2 = elem(0.0); var a3 = elem(0.0); var a4 = elem(0.0);
  var total = elem(0.0);
  for (var r = first; r < min(first + chunk, rows); r++) {
    let from_slot = r / H % S + line / k % kt - kt / 2u; // wraps below zero, and so fails the test
    let from_row = r % H + line % k - k / 2u;
    if (from_slot >= S || from_row >= H) { continue; }
    let start = ((r / H / S * S + from_slot) * H + from_row) * W * C + channel;
    let from_col = tap - k / 2u;
    var x0 = input(start, from_col);
    var x1 = input(start, from_col + 1u);
    var x2 = input(start, from_col + 2u);
    var x3 = input(start, from_col + 3u);
    for (var col = 0u; col < W; col++) {
      let slope = dy[(r * W + col) * C + channel];
      let x4 = input(start, from_col + col + 4u);
      a0 += slope * x0; a1 += slope * x1; a2 += slope * x2; a3 += slope * x3; a4 += slope * x4;
      total += slope;
      x0 = x1; x1 = x2; x2 = x3; x3 = x4;
    }
  }
  let start = line * k * C + channel;
  store(start, tap, a0); store(start, tap + 1u, a1); store(start, tap + 2u, a2);
  store(start, tap + 3u, a3); store(start, tap + 4u, a4);
  if (line % (kt * k) == kt * k / 2u && k / 2u - tap < 5u) { // the middle tap's
    bias[line / kt / k * C + channel] = total;
  }
}
