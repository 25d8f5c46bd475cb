// Batched product for any shape: a [outer, inner, M, K] · b [outer, inner, K, N] → c [outer, inner, M, N].
// One invocation per 4 × 4 block of c, held in registers. Offsets and strides count elements.
// src/plan/map.ts may write elementwise steps between `begin` and `end`: they take what would be stored.

override M: u32; override N: u32; override K: u32;
override inner: u32; // batch = outer · inner
override transposeA: bool; override offsetA: u32; override rowA: u32; override outerA: u32; override innerA: u32;
override transposeB: bool; override offsetB: u32; override rowB: u32; override outerB: u32; override innerB: u32;
override offsetC: u32; override rowC: u32; override outerC: u32; override innerC: u32;
override scale: f32;

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
// begin operands
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
// end operands

fn finish(i: u32, value: f32) {
  // begin body
  c[i] = value;
  // end body
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let row = (group.y * 8u + local.y) * 4u;
  let col = (group.x * 8u + local.x) * 4u;
  if (row >= M || col >= N) { return; }
  let outer_index = group.z / inner;
  let inner_index = group.z % inner;
  let start_a = offsetA + outer_index * outerA + inner_index * innerA;
  let start_b = offsetB + outer_index * outerB + inner_index * innerB;
  let start_c = offsetC + outer_index * outerC + inner_index * innerC;
  // Past the edge the last row or column is read again; its products are not stored.
  let rows = min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(M - 1u));
  let cols = min(vec4u(col, col + 1u, col + 2u, col + 3u), vec4u(N - 1u));
  let step_a = select(1u, rowA, transposeA);
  let step_b = select(rowB, 1u, transposeB);
  var at_a = start_a + select(rows * rowA, rows, vec4<bool>(transposeA));
  var at_b = start_b + select(cols, cols * rowB, vec4<bool>(transposeB));

  var block = mat4x4f(); // one row of c in each column
  for (var k = 0u; k < K; k++) {
    let va = vec4f(a[at_a.x], a[at_a.y], a[at_a.z], a[at_a.w]);
    let vb = vec4f(b[at_b.x], b[at_b.y], b[at_b.z], b[at_b.w]);
    block += mat4x4f(va.x * vb, va.y * vb, va.z * vb, va.w * vb);
    at_a += step_a;
    at_b += step_b;
  }
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) {
      if (row + i < M && col + j < N) {
        finish(start_c + (row + i) * rowC + col + j, scale * block[i][j]);
      }
    }
  }
}
