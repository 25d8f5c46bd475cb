// Cuts or pads one axis: x [outer, X, inner] → y [outer, Y, inner] with y[o, j + offset, i] = x[o, j, i], zero elsewhere.
// One invocation per element of y.

override X: u32; override Y: u32; override inner: u32;
override offset: i32; // negative: a slice that starts at −offset
override size: u32; // outer · Y · inner

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
  let j = i32(i / inner % Y) - offset;
  var value = 0.0;
  if (j >= 0 && j < i32(X)) { value = x[(i / inner / Y * X + u32(j)) * inner + i % inner]; }
  y[i] = value;
}
