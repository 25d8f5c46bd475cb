// Adds biases to attention's scores by where query (h, w) and key (i, j) lie in a grid: source [any shape],
// scores [samples, heads, L, row] → scores, L = H · W, of whose rows L values count, with the value of source at
// offset + sample · outer + head · inner, and so many values on for each of h, w, i and j.
// One invocation per element of scores.

override H: u32; override W: u32; override row: u32;
override heads: u32;
override offset: i32; override outer: i32; override inner: i32;
override h: i32; override w: i32; override i: i32; override j: i32;
override size: u32; // samples · heads · L · row

@group(0) @binding(0) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read_write> scores: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.y * groups.x + group.x) * 64u + local;
  let key = at % row;
  if (at >= size || key >= H * W) { return; }
  let query = at / row % (H * W);
  let map = at / row / (H * W);
  let place = offset + i32(map / heads) * outer + i32(map % heads) * inner +
    i32(query / W) * h + i32(query % W) * w + i32(key / W) * i + i32(key % W) * j;
  scores[at] += source[u32(place)];
}
