// Softmax over rows: x [rows, stride] → y [rows, stride], of which C values count; the rest of y is
// zeros. One invocation per row.

override C: u32; override stride: u32; override rows: u32;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (group.y * groups.x + group.x) * 64u + local;
  if (row >= rows) { return; }
  let start = row * stride;
  var top = x[start];
  for (var i = 1u; i < C; i++) { top = max(top, x[start + i]); }
  var total = 0.0;
  for (var i = 0u; i < C; i++) {
    let e = exp(x[start + i] - top);
    y[start + i] = e;
    total += e;
  }
  let share = 1.0 / total;
  for (var i = 0u; i < C; i++) { y[start + i] *= share; }
  for (var i = C; i < stride; i++) { y[start + i] = 0.0; }
}
