// Cross entropy of rows with soft targets: logits [rows, C], targets [rows, C] →
// loss [rows] = Σ −t · log softmax(z), sums [rows, 2] (log Σ eᶻ, Σ t). One invocation per row.

override C: u32; override rows: u32;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<vec2f>;

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
  let log_total = log(total);
  // −t · log softmax(z) from differences to the largest logit, which are exact where it counts.
  var sum = 0.0;
  var weight = 0.0;
  for (var i = 0u; i < C; i++) {
    let t = targets[start + i];
    sum += t * (log_total - (logits[start + i] - top));
    weight += t;
  }
  loss[row] = sum;
  sums[row] = vec2f(top + log_total, weight);
}
