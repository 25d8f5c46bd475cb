// Gradient of softmax over rows: dy [rows, stride], y [rows, stride] → dx [rows, stride] =
// y · (dy − Σ dy · y), of which C values count; the rest of dx is zeros. One invocation per row.

override C: u32; override stride: u32; override rows: u32;

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (group.y * groups.x + group.x) * 64u + local;
  if (row >= rows) { return; }
  let start = row * stride;
  var total = 0.0;
  for (var i = 0u; i < C; i++) { total += dy[start + i] * y[start + i]; }
  // The sum once more, about itself: what it lost by rounding would be the gradient of the keys' bias,
  // which is zero, and Adam would follow it.
  var rest = 0.0;
  for (var i = 0u; i < C; i++) { rest += y[start + i] * (dy[start + i] - total); }
  total += rest;
  for (var i = 0u; i < C; i++) { dx[start + i] = y[start + i] * (dy[start + i] - total); }
  for (var i = C; i < stride; i++) { dx[start + i] = 0.0; }
}
