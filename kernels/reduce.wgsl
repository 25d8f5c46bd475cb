// Partial sums over the middle axis: x [outer, R, inner] → y [outer, chunks, inner], of x or of its squares.
// One invocation adds `chunk` elems of x to one of y; further passes over y end the sum. On a CPU these are
// neighbours along R, on a GPU neighbouring invocations have neighbours. R and inner count fours where the
// tensor allows it.

alias elem = f32;
override R: u32; override inner: u32;
override chunk: u32; override chunks: u32; // chunks = ⌈R / chunk⌉
override apart: u32; override step: u32; // from the first of a chunk to the next's, and within a chunk
override squares: bool;
override size: u32; // outer · chunks · inner

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let first = i / inner % chunks * apart;
  let start = i / inner / chunks * R * inner + i % inner;
  var total = elem(0.0);
  for (var r = first; r < min(first + chunk * step, R); r += step) {
    let value = x[start + r * inner];
    total += select(value, value * value, squares);
  }
  y[i] = total;
}
