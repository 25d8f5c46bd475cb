// Largest values of the windows of maps: x [N, H, W, C] → y [N, YH, YW, C], windows of `side` × `side` cells,
// `stride` cells apart. One invocation per element of y.

override H: u32; override W: u32; override C: u32;
override YH: u32; override YW: u32;
override side: u32; override stride: u32;
override size: u32; // N · YH · YW · C

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let cell = i / C;
  let first = ((cell / YW / YH * H + cell / YW % YH * stride) * W + cell % YW * stride) * C + i % C;
  var top = x[first];
  for (var h = 0u; h < side; h++) {
    for (var w = 0u; w < side; w++) { top = max(top, x[first + (h * W + w) * C]); }
  }
  y[i] = top;
}
