// Normalises rows: x [rows, C], gain [C], bias [C] → y [rows, C], moments [rows, 2] (mean, 1 / √(var + eps)).
// One invocation per row. C counts fours where the row allows it.

alias elem = f32;
override C: u32; override lanes: f32; // lanes: values in an elem
override rows: u32;
override eps: f32;

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> gain: array<elem>;
@group(0) @binding(2) var<storage, read> bias: array<elem>;
@group(0) @binding(3) var<storage, read_write> y: array<elem>;
@group(0) @binding(4) var<storage, read_write> moments: array<vec2f>;

fn across(v: elem) -> f32 { return dot(vec4f(v), vec4f(lanes / 4.0)); } // the sum over an elem

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = (group.y * groups.x + group.x) * 64u + local;
  if (row >= rows) { return; }
  let start = row * C;
  let width = f32(C) * lanes;
  var total = elem(0.0);
  for (var i = 0u; i < C; i++) { total += x[start + i]; }
  let mean = across(total) / width;
  // A second pass: the one-pass formula cancels where the variance is small.
  var squares = elem(0.0);
  for (var i = 0u; i < C; i++) { let d = x[start + i] - mean; squares += d * d; }
  let scale = 1.0 / sqrt(across(squares) / width + eps);
  for (var i = 0u; i < C; i++) { y[start + i] = (x[start + i] - mean) * scale * gain[i] + bias[i]; }
  moments[row] = vec2f(mean, scale);
}
