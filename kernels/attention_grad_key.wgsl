// Gradient of attention for keys and values, without stored scores: dy [N, L, heads · D],
// qkv [N, L, 3 · heads · D], moments [N, heads, L, 2], delta [N, heads, L] → their parts of
// dqkv [N, L, 3 · heads · D]. Tiles are those of attention.wgsl, keys in place of queries: a workgroup of
// 16 × 16 leads 64 keys past all queries; one invocation holds 4 × 4 scores, and of both results 4 rows by 4
// or 8 columns. D is at most 128.

override L: u32; override heads: u32; override D: u32;
override lanes: u32; // invocations along a row of a result, four columns each: 1, 2, 4, 8 or 16
override scale: f32;

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> moments: array<f32>;
@group(0) @binding(3) var<storage, read> delta: array<f32>;
@group(0) @binding(4) var<storage, read_write> dqkv: array<f32>;

// 16 columns of 64 rows, [column][four rows], padded by one vec4f against bank conflicts.
var<workgroup> tile_a: array<vec4f, 272>;
// The same; or 16 rows of up to 128 columns, [row][four columns], those past 64 behind all others.
var<workgroup> tile_b: array<vec4f, 512>;

// Column d of rows row … row + 3, zeros past the edges.
fn column(start: u32, row: u32, d: u32) -> vec4f {
  let width = 3u * heads * D;
  let i = start + row * width + d;
  var v = vec4f();
  if (d < D && row < L) { v.x = qkv[i]; }
  if (d < D && row + 1u < L) { v.y = qkv[i + width]; }
  if (d < D && row + 2u < L) { v.z = qkv[i + 2u * width]; }
  if (d < D && row + 3u < L) { v.w = qkv[i + 3u * width]; }
  return v;
}

fn column_dy(start: u32, row: u32, d: u32) -> vec4f {
  let width = heads * D;
  let i = start + row * width + d;
  var v = vec4f();
  if (d < D && row < L) { v.x = dy[i]; }
  if (d < D && row + 1u < L) { v.y = dy[i + width]; }
  if (d < D && row + 2u < L) { v.z = dy[i + 2u * width]; }
  if (d < D && row + 3u < L) { v.w = dy[i + 3u * width]; }
  return v;
}

// Columns d … d + 3 of a row, zeros past the edges.
fn four(start: u32, row: u32, d: u32) -> vec4f {
  let i = start + row * 3u * heads * D + d;
  var v = vec4f();
  if (row < L && d < D) { v.x = qkv[i]; }
  if (row < L && d + 1u < D) { v.y = qkv[i + 1u]; }
  if (row < L && d + 2u < D) { v.z = qkv[i + 2u]; }
  if (row < L && d + 3u < D) { v.w = qkv[i + 3u]; }
  return v;
}

fn four_dy(start: u32, row: u32, d: u32) -> vec4f {
  let i = start + row * heads * D + d;
  var v = vec4f();
  if (row < L && d < D) { v.x = dy[i]; }
  if (row < L && d + 1u < D) { v.y = dy[i + 1u]; }
  if (row < L && d + 2u < D) { v.z = dy[i + 2u]; }
  if (row < L && d + 3u < D) { v.w = dy[i + 3u]; }
  return v;
}

// Weights of a query for four keys, beside the gradients of its scores.
struct Pair { weights: vec4f, grads: vec4f }

// Past the edge both are zeros.
fn pair(start: u32, row: u32, scores: vec4f, grads: vec4f) -> Pair {
  if (row >= L) { return Pair(); }
  let weights = moments[2u * (start + row) + 1u] * exp(scores - moments[2u * (start + row)]);
  return Pair(weights, weights * (grads - delta[start + row]));
}

// Sum over the 16 columns of both tiles: four rows of tile_a by four of tile_b, of which each column has one.
fn dots(local: vec2u) -> mat4x4f {
  var block = mat4x4f();
  for (var k = 0u; k < 16u; k++) {
    let a = tile_a[k * 17u + local.y];
    let b = tile_b[k * 17u + local.x];
    block += mat4x4f(b.x * a, b.y * a, b.z * a, b.w * a);
  }
  return block;
}

// Sum over the 16 rows of tile_b, as tile_a weighs them: four rows by four columns, a row in each column.
fn mixed(local: vec2u, first: u32) -> mat4x4f {
  var block = mat4x4f();
  for (var k = 0u; k < lanes; k++) {
    let a = tile_a[(k * (16u / lanes) + local.x / lanes) * 17u + local.y];
    let b = tile_b[first + k * 16u + local.x];
    block += mat4x4f(a.x * b, a.y * b, a.z * b, a.w * b);
  }
  return block;
}

// Sum over the invocations of the same rows, every so many of them.
fn across(local: vec2u, every: u32, v: vec4f) -> vec4f {
  tile_a[local.x * 17u + local.y] = v;
  workgroupBarrier();
  var sum = vec4f();
  for (var i = local.x % every; i < 16u; i += every) { sum += tile_a[i * 17u + local.y]; }
  workgroupBarrier();
  return sum;
}

fn store(start: u32, row: u32, d: u32, v: vec4f) {
  let i = start + row * 3u * heads * D + d;
  if (row < L && d < D) { dqkv[i] = v.x; }
  if (row < L && d + 1u < D) { dqkv[i + 1u] = v.y; }
  if (row < L && d + 2u < D) { dqkv[i + 2u] = v.z; }
  if (row < L && d + 3u < D) { dqkv[i + 3u] = v.w; }
}

// Four rows of a result, the same of `right` where D > 64; all invocations come here.
fn store_rows(local: vec2u, start: u32, row: u32, left: mat4x4f, right: mat4x4f) {
  var rows = left;
  if (lanes < 16u) {
    rows = mat4x4f(
      across(local, lanes, left[0]), across(local, lanes, left[1]),
      across(local, lanes, left[2]), across(local, lanes, left[3]));
  }
  if (local.x < lanes) {
    store(start, row, 4u * local.x, rows[0]);
    store(start, row + 1u, 4u * local.x, rows[1]);
    store(start, row + 2u, 4u * local.x, rows[2]);
    store(start, row + 3u, 4u * local.x, rows[3]);
  }
  if (D > 64u) {
    store(start, row, 4u * local.x + 64u, right[0]);
    store(start, row + 1u, 4u * local.x + 64u, right[1]);
    store(start, row + 2u, 4u * local.x + 64u, right[2]);
    store(start, row + 3u, 4u * local.x + 64u, right[3]);
  }
}

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) id: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let local = id.xy;
  let q = group.z * L * 3u * heads * D + group.y * D;
  let k = q + heads * D;
  let v = k + heads * D;
  let of_y = group.z * L * heads * D + group.y * D;
  let first = (group.z * heads + group.y) * L; // query of this head
  let row = group.x * 64u + 4u * local.y; // first of four keys

  var left_k = mat4x4f(); // one row of the keys' gradient in each column
  var right_k = mat4x4f();
  var left_v = mat4x4f();
  var right_v = mat4x4f();
  for (var query = 0u; query < L; query += 64u) {
    var scores = mat4x4f(); // of one query in each column
    for (var d = 0u; d < D; d += 16u) {
      tile_a[local.x * 17u + local.y] = column(k, row, d + local.x);
      tile_b[local.x * 17u + local.y] = column(q, query + 4u * local.y, d + local.x);
      workgroupBarrier();
      scores += dots(local);
      workgroupBarrier();
    }
    scores *= scale;
    var grads = mat4x4f(); // first of the weights, then of the scores
    for (var d = 0u; d < D; d += 16u) {
      tile_a[local.x * 17u + local.y] = column(v, row, d + local.x);
      tile_b[local.x * 17u + local.y] = column_dy(of_y, query + 4u * local.y, d + local.x);
      workgroupBarrier();
      grads += dots(local);
      workgroupBarrier();
    }
    let mine = query + 4u * local.x;
    let p0 = pair(first, mine, scores[0], grads[0]);
    let p1 = pair(first, mine + 1u, scores[1], grads[1]);
    let p2 = pair(first, mine + 2u, scores[2], grads[2]);
    let p3 = pair(first, mine + 3u, scores[3], grads[3]);
    var weights = mat4x4f(p0.weights, p1.weights, p2.weights, p3.weights);
    grads = mat4x4f(p0.grads, p1.grads, p2.grads, p3.grads);

    for (var j = 0u; j < 4u; j++) { // every fourth query, of each invocation one
      let source = query + 4u * (index / lanes) + j;
      let d = index % lanes * 4u;
      tile_a[local.x * 17u + local.y] = weights[0];
      if (index < 16u * lanes) {
        tile_b[index] = four_dy(of_y, source, d);
        if (D > 64u) { tile_b[index + 256u] = four_dy(of_y, source, d + 64u); }
      }
      workgroupBarrier();
      left_v += mixed(local, 0u);
      if (D > 64u) { right_v += mixed(local, 256u); }
      workgroupBarrier();
      tile_a[local.x * 17u + local.y] = grads[0];
      if (index < 16u * lanes) {
        tile_b[index] = four(q, source, d);
        if (D > 64u) { tile_b[index + 256u] = four(q, source, d + 64u); }
      }
      workgroupBarrier();
      left_k += mixed(local, 0u);
      if (D > 64u) { right_k += mixed(local, 256u); }
      workgroupBarrier();
      weights = mat4x4f(weights[1], weights[2], weights[3], weights[0]); // no index that varies: registers
      grads = mat4x4f(grads[1], grads[2], grads[3], grads[0]);
    }
  }
  store_rows(local, k, row, scale * left_k, scale * right_k);
  store_rows(local, v, row, left_v, right_v);
}
