// Partial parameter gradients of layer_norm: dy [rows, C], x [rows, C], moments [rows, 2]
// → partial [chunks, 2, C] (gain, bias). One invocation adds `chunk` rows of one column.

override C: u32; override rows: u32; override chunk: u32;
override size: u32; // chunks · C

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> moments: array<vec2f>;
@group(0) @binding(3) var<storage, read_write> partial: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let column = i % C;
  let first = i / C * chunk;
  var gain = 0.0;
  var bias = 0.0;
  for (var row = first; row < min(first + chunk, rows); row++) {
    let g = dy[row * C + column];
    gain += g * (x[row * C + column] - moments[row].x) * moments[row].y;
    bias += g;
  }
  partial[i / C * 2u * C + column] = gain;
  partial[(i / C * 2u + 1u) * C + column] = bias;
}
