// Input gradient of layer_norm: dy [rows, C], x [rows, C], gain [C], moments [rows, 2] → dx [rows, C].
// One invocation per row. C counts fours where the row allows it.

alias elem = f32;
override C: u32; override lanes: f32; // lanes: values in an elem
override rows: u32;

@group(0) @binding(0) var<storage, read> dy: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> gain: array<elem>;
@group(0) @binding(3) var<storage, read> moments: array<vec2f>;
@group(0) @binding(4) var<storage, read_write> dx: array<elem>;

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
  let mean = moments[row].x;
  let scale = moments[row].y;
  var plain = elem(0.0); // Σ g, with g = dy · gain
  var along = elem(0.0); // Σ g · x̂
  for (var i = 0u; i < C; i++) {
    let g = dy[start + i] * gain[i];
    plain += g;
    along += g * (x[start + i] - mean);
  }
  let width = f32(C) * lanes;
  let mean_g = across(plain) / width;
  let mean_gx = across(along) * scale / width;
  for (var i = 0u; i < C; i++) {
    let normalised = (x[start + i] - mean) * scale;
    dx[start + i] = scale * (dy[start + i] * gain[i] - mean_g - normalised * mean_gx);
  }
}
