// Takes attention's weights from keys of other regions than the query's: regions [M, L],
// scores [samples, heads, L, row] → scores, of whose rows L values count; sample s has row (first + s) % M of regions.
// One invocation per element of scores.

override L: u32; override row: u32; override heads: u32;
override first: u32; override M: u32;
override size: u32; // samples · heads · L · row

@group(0) @binding(0) var<storage, read> regions: array<u32>;
@group(0) @binding(1) var<storage, read_write> scores: array<f32>;

var<private> lowest: f32 = -3e38;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.y * groups.x + group.x) * 64u + local;
  let key = at % row;
  if (at >= size || key >= L) { return; }
  let start = (first + at / row / L / heads) % M * L;
  if (regions[start + at / row % L] != regions[start + key]) { scores[at] = lowest; }
}
