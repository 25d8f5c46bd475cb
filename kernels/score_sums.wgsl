// Sums the gradient of attention's scores over keys of a row, or of a column: dscores [maps, row], of whose rows
// A · R values count → sums [maps, A] from an offset on, with sums[map, a] = Σ dscores[map, a · apart + r · step] over r.
// One invocation per element of sums.

override A: u32; override R: u32; override apart: u32; override step: u32;
override row: u32;
override offset: u32;
override size: u32; // maps · A

@group(0) @binding(0) var<storage, read> dscores: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.y * groups.x + group.x) * 64u + local;
  if (at >= size) { return; }
  let start = at / A * row + at % A * apart;
  var total = 0.0;
  for (var r = 0u; r < R; r++) { total += dscores[start + r * step]; }
  sums[offset + at] = total;
}
