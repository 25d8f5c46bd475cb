// Gradient of the biases between the cells of a grid: dscores [samples, abreast, L, row], L = H · W, of whose rows
// L values count → dtable [(2H − 1) · (2W − 1), heads], its columns from `first` on: sums over all pairs that are as far
// apart, in all samples, added to what is there if there was more before. A workgroup of 16 × 16 takes 16 entries of a
// row of the table, for one head; one invocation every 16th row of queries for one entry.

override H: u32; override W: u32; override row: u32;
override heads: u32; override first: u32;
override abreast: u32; override samples: u32;
override more: bool;

@group(0) @binding(0) var<storage, read> dscores: array<f32>;
@group(0) @binding(1) var<storage, read_write> dtable: array<f32>;

var<workgroup> parts: array<f32, 256>;

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let column = group.x * 16u + id.x;
  // query − key, along both axes
  let down = i32(group.y) - i32(H - 1u);
  let across = i32(column) - i32(W - 1u);
  let rows = H - u32(abs(down)); // of queries that have keys so far away
  var total = 0.0;
  for (var i = id.y; i < samples * rows; i += 16u) {
    let h = i % rows + u32(max(down, 0));
    let start = ((i / rows * abreast + group.z) * H * W + h * W) * row + u32(i32(h) - down) * W;
    var line = 0.0;
    for (var w = max(across, 0); w < min(i32(W), i32(W) + across); w++) {
      line += dscores[start + u32(w) * row + u32(w - across)];
    }
    total += line;
  }
  parts[local] = total;
  workgroupBarrier();
  if (id.y > 0u || column >= 2u * W - 1u) { return; }
  for (var i = 1u; i < 16u; i++) { total += parts[i * 16u + id.x]; }
  let place = (group.y * (2u * W - 1u) + column) * heads + first + group.z;
  if (more) { total += dtable[place]; }
  dtable[place] = total;
}
