// Depthwise convolution over space and time, stride 1, zero padding: x [N, S, H, W, C], w [kt · k · k, C],
// bias [C] → y [N, S, H, W, C]. An image is one slot, S = kt = 1. `flip` turns the kernel, which makes of
// it the input's gradient. One invocation per elem of y. C counts fours where the channels allow it.

alias elem = f32;
override S: u32; override H: u32; override W: u32; override C: u32;
override kt: u32; override k: u32; // odd
override flip: bool;
override size: u32; // N · S · H · W · C

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> w: array<elem>;
@group(0) @binding(2) var<storage, read> bias: array<elem>;
@group(0) @binding(3) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let channel = i % C;
  let col = i / C % W;
  let row = i / C / W % H;
  let slot = i / C / W / H % S;
  let sample = i / C / W / H / S;
  let taps = kt * k * k;
  var total = elem(0.0);
  for (var dt = 0u; dt < kt; dt++) {
    let from_slot = slot + dt - kt / 2u; // wraps below zero, and so fails the test
    if (from_slot >= S) { continue; }
    for (var dy = 0u; dy < k; dy++) {
      let from_row = row + dy - k / 2u;
      if (from_row >= H) { continue; }
      for (var dx = 0u; dx < k; dx++) {
        let from_col = col + dx - k / 2u;
        if (from_col >= W) { continue; }
        let tap = (dt * k + dy) * k + dx;
        total += x[(((sample * S + from_slot) * H + from_row) * W + from_col) * C + channel]
          * w[select(tap, taps - 1u - tap, flip) * C + channel];
      }
    }
  }
  y[i] = total + select(bias[channel], elem(0.0), flip);
}
