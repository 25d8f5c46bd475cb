// Batched product for CPU adapters: a [outer, inner, M, K] · b [outer, inner, K, N] → c [outer, inner, M, N].
// One subgroup of 8 invocations computes 16 rows × 64 columns; an invocation 16 × 8 in registers.
// Loads are what costs on such an adapter, so the 8 share the rows of a by broadcast.
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

// One row of a from each of four invocations.
fn lower(v: vec4f) -> mat4x4f {
  return mat4x4f(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u));
}
fn upper(v: vec4f) -> mat4x4f {
  return mat4x4f(subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u));
}
// Four elements of k from every second invocation.
fn even(v: vec4f) -> mat4x4f {
  return mat4x4f(subgroupBroadcast(v, 0u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 4u), subgroupBroadcast(v, 6u));
}
fn odd(v: vec4f) -> mat4x4f {
  return mat4x4f(subgroupBroadcast(v, 1u), subgroupBroadcast(v, 3u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 7u));
}

// Elements k … k + 3 of b for columns col … col + 3.
fn block_b(k: u32, col: u32) -> mat4x4f {
  if (transposeB) {
    let i = start_b + k / 4u;
    return transpose(mat4x4f(
      b[i + min(col, N - 1u) * rowB], b[i + min(col + 1u, N - 1u) * rowB],
      b[i + min(col + 2u, N - 1u) * rowB], b[i + min(col + 3u, N - 1u) * rowB]));
  }
  let i = start_b + min(col, N - 4u) / 4u;
  return mat4x4f(
    b[i + min(k, K - 1u) * rowB], b[i + min(k + 1u, K - 1u) * rowB],
    b[i + min(k + 2u, K - 1u) * rowB], b[i + min(k + 3u, K - 1u) * rowB]);
}

fn store(batch_start: u32, row: u32, col: u32, value: vec4f) {
  if (row < M && col < N) { finish(batch_start + row * rowC + col / 4u, scale * value); }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let row = group.y * 16u;
  let col = group.x * 64u + lane * 8u;
  let outer_index = group.z / inner;
  let inner_index = group.z % inner;
  start_a = offsetA + outer_index * outerA + inner_index * innerA;
  start_b = offsetB + outer_index * outerB + inner_index * innerB;

  var c00 = mat4x4f(); var c01 = mat4x4f(); // rows 0…3, columns 0…3 and 4…7
  var c10 = mat4x4f(); var c11 = mat4x4f();
  var c20 = mat4x4f(); var c21 = mat4x4f();
  var c30 = mat4x4f(); var c31 = mat4x4f();
  for (var k = 0u; k < K; k += 4u) {
    var a0: mat4x4f; var a1: mat4x4f; var a2: mat4x4f; var a3: mat4x4f;
    if (transposeA) {
      // Lane 2i + j holds rows 8j … 8j + 7 of element k + i.
      let element = k + lane / 2u;
      let i = start_a + min(element, K - 1u) * rowA;
      let first = row + lane % 2u * 8u;
      let inside = f32(element < K);
      let last = (M - 1u) / 4u; // the last four may reach into the filling of a row
      let low = inside * a[i + min(first / 4u, last)];
      let high = inside * a[i + min(first / 4u + 1u, last)];
      a0 = transpose(even(low)); a1 = transpose(even(high)); a2 = transpose(odd(low)); a3 = transpose(odd(high));
    } else {
      let i = start_a + k / 4u;
      let low = a[i + min(row + lane, M - 1u) * rowA];
      let high = a[i + min(row + lane + 8u, M - 1u) * rowA];
      a0 = lower(low); a1 = upper(low); a2 = lower(high); a3 = upper(high);
    }
    let b0 = block_b(k, col);
    let b1 = block_b(k, col + 4u);
    c00 += b0 * a0; c01 += b1 * a0;
    c10 += b0 * a1; c11 += b1 * a1;
    c20 += b0 * a2; c21 += b1 * a2;
    c30 += b0 * a3; c31 += b1 * a3;
  }

  let start_c = offsetC + outer_index * outerC + inner_index * innerC;
  for (var i = 0u; i < 4u; i++) {
    store(start_c, row + i, col, c00[i]); store(start_c, row + i, col + 4u, c01[i]);
    store(start_c, row + i + 4u, col, c10[i]); store(start_c, row + i + 4u, col + 4u, c11[i]);
    store(start_c, row + i + 8u, col, c20[i]); store(start_c, row + i + 8u, col + 4u, c21[i]);
    store(start_c, row + i + 12u, col, c30[i]); store(start_c, row + i + 12u, col + 4u, c31[i]);
  }
}
