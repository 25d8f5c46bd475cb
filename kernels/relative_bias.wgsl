// Biases of attention between the cells of a grid: table [(2H − 1) · (2W − 1), heads] → bias [heads, L, L], L = H · W,
// with bias[head, (h, w), (i, j)] = table[(h − i + H − 1, w − j + W − 1), head]. One invocation per element.

override H: u32; override W: u32; override heads: u32;
override size: u32; // heads · L · L

@group(0) @binding(0) var<storage, read> table: array<f32>;
@group(0) @binding(1) var<storage, read_write> bias: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.y * groups.x + group.x) * 64u + local;
  if (at >= size) { return; }
  let L = H * W;
  let key = at % L;
  let query = at / L % L;
  let down = query / W + H - 1u - key / W;
  let across = query % W + W - 1u - key % W;
  bias[at] = table[(down * (2u * W - 1u) + across) * heads + at / L / L];
}
