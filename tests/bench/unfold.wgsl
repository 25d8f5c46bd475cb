// Cuts a map into patches that overlap: x [N, H, W, C] → y [N, H, W, k, k, C] with zeros around the map.
// One invocation per four channels of a patch's cell. The other way to convolve: patches times weights.

override H: u32; override W: u32; override C: u32; // C in fours
override k: u32;
override size: u32; // N · H · W · k · k · C

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= size) { return; }
  let tap = i / C;
  let cell = tap / k / k;
  let h = cell / W % H + tap / k % k - k / 2u; // above the map it becomes a large number
  let w = cell % W + tap % k - k / 2u;
  var value = vec4f(0.0);
  if (h < H && w < W) { value = x[((cell / W / H * H + h) * W + w) * C + i % C]; }
  y[i] = value;
}
