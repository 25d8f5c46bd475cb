// Gradient of attention for the queries, without stored scores: dy [N, L, heads · D],
// qkv [N, L, 3 · heads · D], y [N, L, heads · D], moments [N, heads, L, 2] → the queries' part of
// dqkv [N, L, 3 · heads · D], and delta [N, heads, L], the weighted mean of the gradient of a query's
// weights. Tiles are those of attention.wgsl: a workgroup of 16 × 16 leads 64 queries past all keys; one
// invocation holds 4 × 4 scores, and 4 rows of the result by 4 or 8 columns. D is at most 128.

override L: u32; override heads: u32; override D: u32;
override lanes: u32; // invocations along a row of the result, four columns each: 1, 2, 4, 8 or 16
override scale: f32;

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> moments: array<f32>;
@group(0) @binding(4) var<storage, read_write> dqkv: array<f32>;
@group(0) @binding(5) var<storage, read_write> delta: array<f32>;

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

fn column_y(start: u32, row: u32, d: u32) -> vec4f {
  let width = heads * D;
  let i = start + row * width + d;
  var v = vec4f();
  if (d < D && row < L) { v.x = y[i]; }
  if (d < D && row + 1u < L) { v.y = y[i + width]; }
  if (d < D && row + 2u < L) { v.z = y[i + 2u * width]; }
  if (d < D && row + 3u < L) { v.w = y[i + 3u * width]; }
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

// Largest score and inverse sum of a query; past the edge such that all its weights are zeros.
fn moment(start: u32, row: u32) -> vec2f {
  if (row >= L) { return vec2f(); }
  return vec2f(moments[2u * (start + row)], moments[2u * (start + row) + 1u]);
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
  let row = group.x * 64u + 4u * local.y; // first of four queries
  let m0 = moment(first, row);
  let m1 = moment(first, row + 1u);
  let m2 = moment(first, row + 2u);
  let m3 = moment(first, row + 3u);
  let top = vec4f(m0.x, m1.x, m2.x, m3.x);
  let share = vec4f(m0.y, m1.y, m2.y, m3.y);

  var mean = vec4f();
  for (var d = 0u; d < D; d += 16u) {
    mean += column_dy(of_y, row, d + local.x) * column_y(of_y, row, d + local.x);
  }
  mean = across(local, 1u, mean);
  var rest = vec4f();
  var left = mat4x4f(); // one row of the result in each column
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

    var grads = mat4x4f(); // first of the weights, then of the scores
    for (var d = 0u; d < D; d += 16u) {
      tile_a[local.x * 17u + local.y] = column_dy(of_y, row, d + local.x);
      tile_b[local.x * 17u + local.y] = column(v, key + 4u * local.y, d + local.x);
      workgroupBarrier();
      grads += dots(local);
      workgroupBarrier();
    }
    grads = mat4x4f(
      share * exp(scores[0] - top) * (grads[0] - mean), share * exp(scores[1] - top) * (grads[1] - mean),
      share * exp(scores[2] - top) * (grads[2] - mean), share * exp(scores[3] - top) * (grads[3] - mean));
    rest += (grads[0] + grads[1]) + (grads[2] + grads[3]);

    for (var j = 0u; j < 4u; j++) { // every fourth key, of each invocation one
      tile_a[local.x * 17u + local.y] = grads[0];
      if (index < 16u * lanes) {
        tile_b[index] = four(k, key + 4u * (index / lanes) + j, index % lanes * 4u);
        if (D > 64u) { tile_b[index + 256u] = four(k, key + 4u * (index / lanes) + j, index % lanes * 4u + 64u); }
      }
      workgroupBarrier();
      left += mixed(local, 0u);
      if (D > 64u) { right += mixed(local, 256u); }
      workgroupBarrier();
      grads = mat4x4f(grads[1], grads[2], grads[3], grads[0]); // no index that varies: registers
    }
  }

  // What the mean lost by rounding would be the gradient of the keys' bias, which is zero, and Adam would
  // follow it.
  mean += across(local, 1u, rest);
  if (local.x == 0u) {
    if (row < L) { delta[first + row] = mean.x; }
    if (row + 1u < L) { delta[first + row + 1u] = mean.y; }
    if (row + 2u < L) { delta[first + row + 2u] = mean.z; }
    if (row + 3u < L) { delta[first + row + 3u] = mean.w; }
  }
  if (lanes < 16u) {
    left = mat4x4f(
      across(local, lanes, left[0]), across(local, lanes, left[1]),
      across(local, lanes, left[2]), across(local, lanes, left[3]));
  }
  if (local.x >= lanes) { return; }
  store(q, row, 4u * local.x, scale * left[0]);
  store(q, row + 1u, 4u * local.x, scale * left[1]);
  store(q, row + 2u, 4u * local.x, scale * left[2]);
  store(q, row + 3u, 4u * local.x, scale * left[3]);
  if (D > 64u) {
    store(q, row, 4u * local.x + 64u, scale * right[0]);
    store(q, row + 1u, 4u * local.x + 64u, scale * right[1]);
    store(q, row + 2u, 4u * local.x + 64u, scale * right[2]);
    store(q, row + 3u, 4u * local.x + 64u, scale * right[3]);
  }
}
