// Cross entropy of rows with labels: logits [rows, C], labels [rows] →
// loss [rows] = log Σ eᶻ − z[label], 0 where a label is C or more; log_total [rows] = log Σ eᶻ. One invocation per row.

override C: u32; override rows: u32;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> log_total: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (group.y * groups.x + group.x) * 64u + local;
  if (row >= rows) { return; }
  let start = row * C;
  var top = logits[start];
  for (var i = 1u; i < C; i++) { top = max(top, logits[start + i]); }
  var total = 0.0;
  for (var i = 0u; i < C; i++) { total += exp(logits[start + i] - top); }
  let label = labels[row];
  var value = 0.0;
  if (label < C) { value = log(total) - (logits[start + label] - top); }
  loss[row] = value;
  log_total[row] = top + log(total);
}
