// Gradient of picking: dy [R, P, inner], labels [R] → dx [R, P, K, inner], zeros but for the row's class.
// One invocation per element of dx.

override P: u32; override K: u32; override inner: u32;
override size: u32; // R · P · K · inner

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let row = i / inner / K; // r · P + p
  var value = 0.0;
  if (labels[row / P] == i / inner % K) { value = dy[row * inner + i % inner]; }
  dx[i] = value;
}
