// Batched product of few columns for CPU adapters: a [outer, inner, M, K] · b [outer, inner, K, N] →
// c [outer, inner, M, N].
// One subgroup of 8 invocations computes 64 rows × 16 columns; an invocation 8 × 16 in registers.
// As matmul_broadcast.wgsl, but here the 8 share b, and each reads rows of a of its own.
// A block of a, b or c is a mat4x4f that holds one row of four in each column, so that
// block(c) = block(b) * block(a). Offsets and strides count vec4s. Where rows of a or c are filled up to
// fours, the filling of a is zeros.
// src/plan/map.ts may write elementwise steps between `begin` and `end`: they take what would be stored.

override M: u32; override N: u32; override K: u32;
override inner: u32; // batch = outer · inner
override transposeA: bool; override offsetA: u32; override rowA: u32; override outerA: u32; override innerA: u32;
override transposeB: bool; override offsetB: u32; override rowB: u32; override outerB: u32; override innerB: u32;
override offsetC: u32; override rowC: u32; override outerC: u32; override innerC: u32;
override scale: f32;

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
// begin operands
@group(0) @binding(2) var<storage, read_write> c: array<vec4f>;
// end operands

fn finish(i: u32, value: vec4f) {
  // begin body
  c[i] = value;
  // end body
}

var<private> start_a: u32;
var<private> start_b: u32;

// One row of four from each of four invocations.
fn lower(v: vec4f) -> mat4x4f {
  return mat4x4f(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u));
}
fn upper(v: vec4f) -> mat4x4f {
  return mat4x4f(subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u));
}
// The same from every second invocation.
fn even(v: vec4f) -> mat4x4f {
  return mat4x4f(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 4u), subgroupBroadcast(v, 6u));
}
fn odd(v: vec4f) -> mat4x4f {
  return mat4x4f(subgroupBroadcast(v, 1u), subgroupBroadcast(v, 3u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 7u));
}

// Elements k … k + 3 of a for rows row … row + 3.
fn block_a(k: u32, row: u32) -> mat4x4f {
  if (transposeA) {
    let i = start_a + min(row / 4u, (M - 1u) / 4u); // the last four may reach into the filling of a row
    let inside = vec4<bool>(true, k + 1u < K, k + 2u < K, k + 3u < K);
    let last = K - 1u;
    return transpose(mat4x4f(
      a[i + k * rowA],
      select(vec4f(), a[i + min(k + 1u, last) * rowA], inside.y),
      select(vec4f(), a[i + min(k + 2u, last) * rowA], inside.z),
      select(vec4f(), a[i + min(k + 3u, last) * rowA], inside.w)));
  }
  let i = start_a + k / 4u;
  let last = M - 1u;
  return mat4x4f(
    a[i + min(row, last) * rowA], a[i + min(row + 1u, last) * rowA],
    a[i + min(row + 2u, last) * rowA], a[i + min(row + 3u, last) * rowA]);
}

fn store(batch_start: u32, row: u32, col: u32, value: vec4f) {
  if (row < M && col < N) { finish(batch_start + row * rowC + col / 4u, scale * value); }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let row = group.y * 64u + lane * 8u;
  let col = group.x * 16u;
  let outer_index = group.z / inner;
  let inner_index = group.z % inner;
  start_a = offsetA + outer_index * outerA + inner_index * innerA;
  start_b = offsetB + outer_index * outerB + inner_index * innerB;

  var c00 = mat4x4f(); var c01 = mat4x4f(); var c02 = mat4x4f(); var c03 = mat4x4f(); // rows 0…3
  var c10 = mat4x4f(); var c11 = mat4x4f(); var c12 = mat4x4f(); var c13 = mat4x4f(); // rows 4…7
  for (var k = 0u; k < K; k += 4u) {
    var b0: mat4x4f; var b1: mat4x4f; var b2: mat4x4f; var b3: mat4x4f;
    if (transposeB) {
      // Lane l holds elements k … k + 3 of columns l and l + 8.
      let i = start_b + k / 4u;
      let low = b[i + min(col + lane, N - 1u) * rowB];
      let high = b[i + min(col + lane + 8u, N - 1u) * rowB];
      b0 = transpose(lower(low)); b1 = transpose(upper(low));
      b2 = transpose(lower(high)); b3 = transpose(upper(high));
    } else {
      // Lane 2i + j holds columns 8j … 8j + 7 of element k + i.
      let i = start_b + min(k + lane / 2u, K - 1u) * rowB;
      let first = col + lane % 2u * 8u;
      let last = (N - 1u) / 4u;
      let low = b[i + min(first / 4u, last)];
      let high = b[i + min(first / 4u + 1u, last)];
      b0 = even(low); b1 = even(high); b2 = odd(low); b3 = odd(high);
    }
    let a0 = block_a(k, row);
    let a1 = block_a(k, row + 4u);
    c00 += b0 * a0; c01 += b1 * a0; c02 += b2 * a0; c03 += b3 * a0;
    c10 += b0 * a1; c11 += b1 * a1; c12 += b2 * a1; c13 += b3 * a1;
  }

  let start_c = offsetC + outer_index * outerC + inner_index * innerC;
  for (var i = 0u; i < 4u; i++) {
    store(start_c, row + i, col, c00[i]); store(start_c, row + i, col + 4u, c01[i]);
    store(start_c, row + i, col + 8u, c02[i]); store(start_c, row + i, col + 12u, c03[i]);
    store(start_c, row + i + 4u, col, c10[i]); store(start_c, row + i + 4u, col + 4u, c11[i]);
    store(start_c, row + i + 4u, col + 8u, c12[i]); store(start_c, row + i + 4u, col + 12u, c13[i]);
  }
}
