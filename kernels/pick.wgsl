// Picks in every row the values of its class: x [R, P, K, inner], labels [R] → y [R, P, inner], zeros where a label is
// K or more. One invocation per element of y.

override P: u32; override K: u32; override inner: u32;
override size: u32; // R · P · inner

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let label = labels[i / inner / P];
  var value = 0.0;
  if (label < K) { value = x[(i / inner * K + label) * inner + i % inner]; }
  y[i] = value;
}
