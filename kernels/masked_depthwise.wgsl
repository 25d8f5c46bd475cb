// Depthwise convolution over visible blocks only: x [N, V, s, s, C], w [kt · k · k, C], bias [C],
// keep [N, V] (a block's place in the S × GH × GW grid),
// restore [N, S · GH · GW] (a place's block; V or more: removed) → y [N, V, s, s, C].
// Removed blocks count as zero, as if the input had been multiplied by the mask. An image is one slot,
// S = kt = 1. `flip` turns the kernel, which makes of it the input's gradient.
// One invocation per up to 4 neighbours in a block's row of y and elem: since loads are what costs, it
// slides a window of 4 inputs along each row of taps. C counts fours where the channels allow it.

alias elem = f32;
override V: u32; override s: u32; override C: u32;
override S: u32; override GH: u32; override GW: u32;
override kt: u32; override k: u32; // odd
override flip: bool;
override size: u32; // N · V · s · ⌈s / 4⌉ · C

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> w: array<elem>;
@group(0) @binding(2) var<storage, read> bias: array<elem>;
@group(0) @binding(3) var<storage, read> keep: array<u32>;
@group(0) @binding(4) var<storage, read> restore: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<elem>;

fn store(start: u32, col: u32, value: elem) {
  if (col < s) { y[start + col * C] = value; }
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let strips = (s + 3u) / 4u;
  let channel = i % C;
  let strip = i / C % strips;
  let empty = strips * 4u - s; // the first strip is filled up on its left
  let col = strip * 4u - empty; // in the block
  let skip = select(0u, empty, strip == 0u);
  let line = i / C / strips; // (n · V + v) · s + row in the block
  let sample = line / s / V;
  let place = keep[line / s];
  let slot = place / GW / GH;
  let row = place / GW % GH * s + line % s; // in the whole map
  let taps = kt * k * k;
  let first = select(bias[channel], elem(0.0), flip);
  var y0 = first; var y1 = first; var y2 = first; var y3 = first;
  for (var dt = 0u; dt < kt; dt++) {
    let from_slot = slot + dt - kt / 2u; // wraps below zero, and so fails the test
    if (from_slot >= S) { continue; }
    for (var dy = 0u; dy < k; dy++) {
      let from_row = row + dy - k / 2u;
      if (from_row >= GH * s) { continue; }
      let places = ((sample * S + from_slot) * GH + from_row / s) * GW;
      var x0 = elem(0.0); var x1 = elem(0.0); var x2 = elem(0.0);
      var block = V;
      var live = 0u; // steps until the window holds nothing visible
      for (var step = skip; step < k + 3u; step++) {
        let from_col = place % GW * s + col + step - k / 2u;
        if (step == skip || from_col % s == 0u) {
          block = V;
          if (from_col < GW * s) { block = restore[places + from_col / s]; }
        }
        var x3 = elem(0.0);
        if (block < V) {
          x3 = x[(((sample * V + block) * s + from_row % s) * s + from_col % s) * C + channel];
          live = 4u - skip;
        }
        if (step >= 3u && live > 0u) {
          let tap = (dt * k + dy) * k + step - 3u;
          let weight = w[select(tap, taps - 1u - tap, flip) * C + channel];
          y0 += weight * x0; y1 += weight * x1; y2 += weight * x2; y3 += weight * x3;
        }
        live = max(live, 1u) - 1u;
        x0 = x1; x1 = x2; x2 = x3;
      }
    }
  }
  let start = line * s * C + channel;
  store(start, col, y0); store(start, col + 1u, y1); store(start, col + 2u, y2); store(start, col + 3u, y3);
}
