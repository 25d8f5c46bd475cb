// Depthwise convolution over visible blocks only: x [N, V, s, s, C], w [kt · k · k, C], bias [C],
// keep [N, V] (a block's place in the S × GH × GW grid),
// restore [N, S · GH · GW] (a place's block; V or more: removed) → y [N, V, s, s, C].
// Removed blocks count as zero, as if the input had been multiplied by the mask. An image is one slot,
// S = kt = 1. `flip` turns the kernel, which makes of it the input's gradient. One invocation per elem of y.
// C counts fours where the channels allow it.

alias elem = f32;
override V: u32; override s: u32; override C: u32;
override S: u32; override GH: u32; override GW: u32;
override kt: u32; override k: u32; // odd
override flip: bool;
override size: u32; // N · V · s · s · C

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> w: array<elem>;
@group(0) @binding(2) var<storage, read> bias: array<elem>;
@group(0) @binding(3) var<storage, read> keep: array<u32>;
@group(0) @binding(4) var<storage, read> restore: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let channel = i % C;
  let block = i / C / s / s; // n · V + v
  let sample = block / V;
  let place = keep[block];
  let slot = place / GW / GH;
  let row = place / GW % GH * s + i / C / s % s; // in the whole map
  let col = place % GW * s + i / C % s;
  let taps = kt * k * k;
  var total = elem(0.0);
  for (var dt = 0u; dt < kt; dt++) {
    let from_slot = slot + dt - kt / 2u; // wraps below zero, and so fails the test
    if (from_slot >= S) { continue; }
    for (var dy = 0u; dy < k; dy++) {
      let from_row = row + dy - k / 2u;
      if (from_row >= GH * s) { continue; }
      for (var dx = 0u; dx < k; dx++) {
        let from_col = col + dx - k / 2u;
        if (from_col >= GW * s) { continue; }
        let from_block = restore[((sample * S + from_slot) * GH + from_row / s) * GW + from_col / s];
        if (from_block >= V) { continue; }
        let tap = (dt * k + dy) * k + dx;
        total += x[(((sample * V + from_block) * s + from_row % s) * s + from_col % s) * C + channel]
          * w[select(tap, taps - 1u - tap, flip) * C + channel];
      }
    }
  }
  y[i] = total + select(bias[channel], elem(0.0), flip);
}
