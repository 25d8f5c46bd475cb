// Depthwise convolution, stride 1, zero padding: x [N, H, W, C], w [C, k, k], bias [C] → y [N, H, W, C].
// `flip` turns the kernel, which makes of it the input's gradient. One invocation per element of y.

override H: u32; override W: u32; override C: u32;
override k: u32; // odd
override flip: bool;
override size: u32; // N · H · W · C

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

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
  let image = i / C / W / H * H; // its first row
  let reach = k / 2u;
  var total = 0.0;
  for (var dy = 0u; dy < k; dy++) {
    let from_row = row + dy - reach; // wraps below zero, and so fails the test
    if (from_row >= H) { continue; }
    for (var dx = 0u; dx < k; dx++) {
      let from_col = col + dx - reach;
      if (from_col >= W) { continue; }
      let tap = dy * k + dx;
      total += x[((image + from_row) * W + from_col) * C + channel] * w[channel * k * k + select(tap, k * k - 1u - tap, flip)];
    }
  }
  y[i] = total + select(bias[channel], 0.0, flip);
}
