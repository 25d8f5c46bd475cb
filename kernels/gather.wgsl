// Picks rows by index: x [N, L, C], index [N, K] → y [N, K, C]; an index of L or more gives a row of zeros.
// One invocation per element of y, or per four where C allows it (C and size then count fours).

alias elem = f32;
override L: u32; override K: u32; override C: u32;
override size: u32; // N · K · C

@group(0) @binding(0) var<storage, read> x: array<elem>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let row = i / C; // n · K + k
  let from_row = index[row];
  var value = elem(0.0);
  if (from_row < L) { value = x[(row / K * L + from_row) * C + i % C]; }
  y[i] = value;
}
