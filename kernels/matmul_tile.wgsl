// Batched product for GPUs, any shape: a [outer, inner, M, K] · b [outer, inner, K, N] → c [outer, inner, M, N].
// A workgroup of 16 × 16 computes 64 × 64 elements of c from tiles of 64 × 16 in workgroup memory;
// one invocation 4 × 4 of them. Offsets and strides count elements.
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

// [k][row or column], padded by one against bank conflicts.
var<workgroup> tile_a: array<array<f32, 65>, 16>;
var<workgroup> tile_b: array<array<f32, 65>, 16>;

fn store(start_c: u32, row: u32, col: u32, value: vec4f) {
  if (row >= M) { return; }
  let i = start_c + row * rowC + col;
  if (col < N) { finish(i, scale * value.x); }
  if (col + 16u < N) { finish(i + 16u, scale * value.y); }
  if (col + 32u < N) { finish(i + 32u, scale * value.z); }
  if (col + 48u < N) { finish(i + 48u, scale * value.w); }
}

@compute @workgroup_size(16, 16)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let outer_index = group.z / inner;
  let inner_index = group.z % inner;
  let start_a = offsetA + outer_index * outerA + inner_index * innerA;
  let start_b = offsetB + outer_index * outerB + inner_index * innerB;
  let start_c = offsetC + outer_index * outerC + inner_index * innerC;
  let row0 = group.y * 64u;
  let col0 = group.x * 64u;

  var block = mat4x4f(); // one row of c in each column
  for (var k0 = 0u; k0 < K; k0 += 16u) {
    for (var part = 0u; part < 4u; part++) {
      let i = part * 256u + index; // of 64 × 16
      // Neighbouring invocations read neighbouring elements, whichever way the operand lies.
      let ka = select(i % 16u, i / 64u, transposeA);
      let ra = select(i / 16u, i % 64u, transposeA);
      var va = 0.0;
      if (row0 + ra < M && k0 + ka < K) {
        va = a[start_a + select((row0 + ra) * rowA + k0 + ka, (k0 + ka) * rowA + row0 + ra, transposeA)];
      }
      tile_a[ka][ra] = va;
      let kb = select(i / 64u, i % 16u, transposeB);
      let cb = select(i % 64u, i / 16u, transposeB);
      var vb = 0.0;
      if (col0 + cb < N && k0 + kb < K) {
        vb = b[start_b + select((k0 + kb) * rowB + col0 + cb, (col0 + cb) * rowB + k0 + kb, transposeB)];
      }
      tile_b[kb][cb] = vb;
    }
    workgroupBarrier();
    for (var k = 0u; k < 16u; k++) {
      // Strided by 16, so that stores of neighbours touch neighbouring columns.
      let va = vec4f(tile_a[k][local.y], tile_a[k][local.y + 16u], tile_a[k][local.y + 32u], tile_a[k][local.y + 48u]);
      let vb = vec4f(tile_b[k][local.x], tile_b[k][local.x + 16u], tile_b[k][local.x + 32u], tile_b[k][local.x + 48u]);
      block += mat4x4f(va.x * vb, va.y * vb, va.z * vb, va.w * vb);
    }
    workgroupBarrier();
  }
  let row = row0 + local.y;
  let col = col0 + local.x;
  store(start_c, row, col, block[0]); store(start_c, row + 16u, col, block[1]);
  store(start_c, row + 32u, col, block[2]); store(start_c, row + 48u, col, block[3]);
}
