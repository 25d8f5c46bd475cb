// Batched product for GPUs, in fours: a [outer, inner, M, K] · b [outer, inner, K, N] → c [outer, inner, M, N].
// A workgroup of 16 × 8 computes 64 × 64 elements of c from tiles of 64 × 16 in workgroup memory; one
// invocation 8 × 4 of them in registers.
// Offsets and strides count vec4s. Where rows of a or c are filled up to fours, the filling of a is zeros.
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

// Of a, then from 256 on of b: [k of 16][line / 4 of 16], four lines in a vec4f. A line is a row of a or a column of b.
var<workgroup> tiles: array<vec4f, 512>;

// The operand that this invocation brings to workgroup memory: a, or b.
var<private> brings_b: bool;
var<private> along_k: bool; // whether neighbours in memory differ in k
var<private> start: u32;
var<private> stride: u32;
var<private> lines: u32;

// Neighbours in memory, from an element on; zeros past the edges.
fn four(line: u32, k: u32) -> vec4f {
  if (line >= lines || k >= K) { return vec4f(); }
  let i = start + select(k * stride + line / 4u, line * stride + k / 4u, along_k);
  if (brings_b) { return b[i]; }
  return a[i];
}

// A block of four lines by four elements of k, one k in each column.
fn block(line: u32, k: u32) -> mat4x4f {
  if (along_k) { return transpose(mat4x4f(four(line, k), four(line + 1u, k), four(line + 2u, k), four(line + 3u, k))); }
  return mat4x4f(four(line, k), four(line, k + 1u), four(line, k + 2u), four(line, k + 3u));
}

var<private> c0: mat4x4f; // rows 0…3: one in each column
var<private> c1: mat4x4f; // rows 32…35

// Adds the products of one k.
fn multiply(at_a: u32, at_b: u32) {
  let a0 = tiles[at_a]; let a1 = tiles[at_a + 8u];
  let b0 = tiles[at_b];
  c0 += mat4x4f(a0.x * b0, a0.y * b0, a0.z * b0, a0.w * b0);
  c1 += mat4x4f(a1.x * b0, a1.y * b0, a1.z * b0, a1.w * b0);
}

fn store(start_c: u32, row: u32, col: u32, value: vec4f) {
  if (row < M && col < N) { finish(start_c + row * rowC + col / 4u, scale * value); }
}

// The rows of a block after its first: registers cannot be indexed by a variable.
fn after(block: mat4x4f) -> mat4x4f { return mat4x4f(block[1], block[2], block[3], block[3]); }

@compute @workgroup_size(16, 8)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) local: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let outer_index = group.z / inner;
  let inner_index = group.z % inner;
  // Of 128 invocations, 64 bring a block of a each, and 64 one of b.
  brings_b = index >= 64u;
  along_k = select(!transposeA, transposeB, brings_b);
  start = select(
    offsetA + outer_index * outerA + inner_index * innerA,
    offsetB + outer_index * outerB + inner_index * innerB, brings_b);
  stride = select(rowA, rowB, brings_b);
  lines = select(M, N, brings_b);
  // Which one: neighbours bring neighbours in memory.
  let i = index % 64u;
  let line_four = select(i % 16u, i / 4u, along_k);
  let k_four = select(i / 16u, i % 4u, along_k);
  let line = select(group.y, group.x, brings_b) * 64u + line_four * 4u;
  // Fours of lines are shuffled by 2 · (k / 4): neighbours then never meet in a bank.
  let place = select(0u, 256u, brings_b) + k_four * 64u + (line_four ^ (2u * k_four));

  var next = block(line, k_four * 4u);
  for (var k = 0u; k < K; k += 16u) {
    workgroupBarrier(); // the tiles before these are done with
    tiles[place] = next[0]; tiles[place + 16u] = next[1]; tiles[place + 32u] = next[2]; tiles[place + 48u] = next[3];
    workgroupBarrier();
    next = block(line, k + 16u + k_four * 4u); // on its way meanwhile
    for (var step = 0u; step < 4u; step++) {
      let at_a = step * 64u + (local.y ^ (2u * step));
      let at_b = step * 64u + (local.x ^ (2u * step)) + 256u;
      multiply(at_a, at_b); multiply(at_a + 16u, at_b + 16u);
      multiply(at_a + 32u, at_b + 32u); multiply(at_a + 48u, at_b + 48u);
    }
  }

  let start_c = offsetC + outer_index * outerC + inner_index * innerC;
  let row0 = group.y * 64u + local.y * 4u;
  let col0 = group.x * 64u + local.x * 4u;
  for (var i = 0u; i < 4u; i++) { // a loop, so that what ends the kernel is compiled once a block
    store(start_c, row0 + i, col0, c0[0]); store(start_c, row0 + i + 32u, col0, c1[0]);
    c0 = after(c0); c1 = after(c1);
  }
}
