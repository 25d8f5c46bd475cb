// Weighted sums of a few values along an axis: x [outer, X, inner], index [Y, T], weight [Y, T] →
// y [outer, Y, inner] with y[o, j, i] = Σ weight[j, t] · x[o, index[j, t], i] over t.
// One invocation per element of y, or per four where inner allows it (inner and size then count fours).

alias elem = f32;
override X: u32; override Y: u32; override inner: u32; override T: u32;
override size: u32; // outer · Y · inner

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let first = i / inner % Y * T;
  let start = i / inner / Y * X * inner + i % inner;
  var total = elem(0.0);
  for (var t = first; t < first + T; t++) { total += weight[t] * x[start + index[t] * inner]; }
  y[i] = total;
}
