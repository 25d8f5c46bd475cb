// Self-attention that stores no scores (arXiv:2205.14135): qkv [N, L, 3 · heads · D] → y [N, L, heads · D],
// softmax(scale · q kᵀ) v, and moments [N, heads, L, 2], of each query the largest score and the inverse of
// its sum of exponentials. A workgroup of 16 × 16 leads 64 queries of one head past all keys, 64 at a time.
// One invocation holds 4 × 4 scores, and 4 rows of y by 4 columns, by 8 where D > 64; where D <= 32 several
// share the columns and part the keys between them. D is at most 128.

override L: u32; override heads: u32; override D: u32;
override lanes: u32; // invocations along a row of y, four columns each: 1, 2, 4, 8 or 16
override scale: f32;

@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> moments: array<f32>;

const lowest = -3e38;

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
  let i = start + row * heads * D + d;
  if (row < L && d < D) { y[i] = v.x; }
  if (row < L && d + 1u < D) { y[i + 1u] = v.y; }
  if (row < L && d + 2u < D) { y[i + 2u] = v.z; }
  if (row < L && d + 3u < D) { y[i + 3u] = v.w; }
}

fn keep(start: u32, row: u32, top: f32, share: f32) {
  if (row >= L) { return; }
  moments[2u * (start + row)] = top;
  moments[2u * (start + row) + 1u] = share;
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
  let row = group.x * 64u + 4u * local.y; // first of four queries

  var top = vec4f(lowest);
  var total = vec4f(); // of this invocation's keys
  var left = mat4x4f(); // one row of y in each column, before the division by the total
  var right = mat4x4f();
  for (var key = 0u; key < L; key += 64u) {
    var scores = mat4x4f(); // of one key in each column
    for (var d = 0u; d < D; d += 16u) {
      tile_a[local.x * 17u + local.y] = column(q, row, d + local.x);
      tile_b[local.x * 17u + local.y] = column(k, key + 4u * local.y, d + local.x);
      workgroupBarrier();
      scores += dots(local);
      workgroupBarrier();
    }
    scores *= scale;
    let mine = key + 4u * local.x;
    if (mine >= L) { scores[0] = vec4f(lowest); }
    if (mine + 1u >= L) { scores[1] = vec4f(lowest); }
    if (mine + 2u >= L) { scores[2] = vec4f(lowest); }
    if (mine + 3u >= L) { scores[3] = vec4f(lowest); }

    tile_a[local.x * 17u + local.y] = max(max(scores[0], scores[1]), max(scores[2], scores[3]));
    workgroupBarrier();
    let before = top;
    for (var i = 0u; i < 16u; i++) { top = max(top, tile_a[i * 17u + local.y]); }
    workgroupBarrier();
    let shrink = exp(before - top);
    left = mat4x4f(shrink.x * left[0], shrink.y * left[1], shrink.z * left[2], shrink.w * left[3]);
    right = mat4x4f(shrink.x * right[0], shrink.y * right[1], shrink.z * right[2], shrink.w * right[3]);
    var weights = mat4x4f(exp(scores[0] - top), exp(scores[1] - top), exp(scores[2] - top), exp(scores[3] - top));
    total = shrink * total + ((weights[0] + weights[1]) + (weights[2] + weights[3]));

    for (var j = 0u; j < 4u; j++) { // every fourth key, of each invocation one
      tile_a[local.x * 17u + local.y] = weights[0];
      if (index < 16u * lanes) {
        tile_b[index] = four(v, key + 4u * (index / lanes) + j, index % lanes * 4u);
        if (D > 64u) { tile_b[index + 256u] = four(v, key + 4u * (index / lanes) + j, index % lanes * 4u + 64u); }
      }
      workgroupBarrier();
      left += mixed(local, 0u);
      if (D > 64u) { right += mixed(local, 256u); }
      workgroupBarrier();
      weights = mat4x4f(weights[1], weights[2], weights[3], weights[0]); // no index that varies: registers
    }
  }

  let share = 1.0 / across(local, 1u, total);
  if (lanes < 16u) {
    left = mat4x4f(
      across(local, lanes, left[0]), across(local, lanes, left[1]),
      across(local, lanes, left[2]), across(local, lanes, left[3]));
  }
  if (local.x == 0u) {
    let start = (group.z * heads + group.y) * L;
    keep(start, row, top.x, share.x);
    keep(start, row + 1u, top.y, share.y);
    keep(start, row + 2u, top.z, share.z);
    keep(start, row + 3u, top.w, share.w);
  }
  if (local.x >= lanes) { return; }
  let start = group.z * L * heads * D + group.y * D;
  store(start, row, 4u * local.x, share.x * left[0]);
  store(start, row + 1u, 4u * local.x, share.y * left[1]);
  store(start, row + 2u, 4u * local.x, share.z * left[2]);
  store(start, row + 3u, 4u * local.x, share.w * left[3]);
  if (D > 64u) {
    store(start, row, 4u * local.x + 64u, share.x * right[0]);
    store(start, row + 1u, 4u * local.x + 64u, share.y * right[1]);
    store(start, row + 2u, 4u * local.x + 64u, share.z * right[2]);
    store(start, row + 3u, 4u * local.x + 64u, share.w * right[3]);
  }
}
