// Gradient of the cross entropy with labels: dy [rows], logits [rows, C], labels [rows], log_total [rows] →
// dlogits [rows, C] = dy · (softmax(z) − one-hot), 0 where a label is C or more. One invocation per element.

override C: u32;
override size: u32; // rows · C

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> log_total: array<f32>;
@group(0) @binding(4) var<storage, read_write> dlogits: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let row = i / C;
  let label = labels[row];
  var value = 0.0;
  if (label < C) {
    value = exp(logits[i] - log_total[row]) - select(0.0, 1.0, i % C == label);
  }
  dlogits[i] = dy[row] * value;
}
