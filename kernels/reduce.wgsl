// Partial sums over the middle axis: x [outer, R, inner] → y [outer, chunks, inner], of x or of its squares.
// One invocation adds `chunk` neighbours of one y; a second pass over y ends the sum.

override R: u32; override inner: u32;
override chunk: u32; override chunks: u32; // chunks = ⌈R / chunk⌉
override squares: bool;
override size: u32; // outer · chunks · inner

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let first = i / inner % chunks * chunk;
  let start = i / inner / chunks * R * inner + i % inner;
  var total = 0.0;
  for (var r = first; r < min(first + chunk, R); r++) {
    let value = x[start + r * inner];
    total += select(value, value * value, squares);
  }
  y[i] = total;
}
