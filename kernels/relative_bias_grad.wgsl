// Gradient of the biases between the cells of a grid: dbias [heads, L, L] → dtable [(2H − 1) · (2W − 1), heads]:
// sums over all pairs that are as far apart. One invocation per element of dtable.

override H: u32; override W: u32; override heads: u32;
override size: u32; // (2H − 1) · (2W − 1) · heads

@group(0) @binding(0) var<storage, read> dbias: array<f32>;
@group(0) @binding(1) var<storage, read_write> dtable: array<f32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (group.y * groups.x + group.x) * 64u + local;
  if (at >= size) { return; }
  let L = H * W;
  let entry = at / heads;
  // query − key, along both axes
  let down = i32(entry / (2u * W - 1u)) - i32(H - 1u);
  let across = i32(entry % (2u * W - 1u)) - i32(W - 1u);
  let start = at % heads * L * L;
  var total = 0.0;
  for (var h = max(down, 0); h < min(i32(H), i32(H) + down); h++) {
    var row = 0.0;
    for (var w = max(across, 0); w < min(i32(W), i32(W) + across); w++) {
      let query = u32(h) * W + u32(w);
      let key = u32(h - down) * W + u32(w - across);
      row += dbias[start + query * L + key];
    }
    total += row;
  }
  dtable[at] = total;
}
