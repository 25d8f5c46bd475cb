import assert from "node:assert/strict";
import { checkPosEmbed } from "../../pipelines/parity/tables.ts";
import { interpolatePositions, sincos2d, sinusoid } from "../../src/pos_embed.ts";
import { loadSafetensors } from "../../src/safetensors.ts";

const golden = () => loadSafetensors("tests/golden/pos_embed.safetensors");

Deno.test("sincos2d(), sinusoid() and interpolatePositions() match the published tables", async () => {
  const checks = [...checkPosEmbed(await golden())];
  assert.equal(checks.length, 3 + 2 * 3 + 2 + 4);
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
});

Deno.test("checkPosEmbed() keeps to its prefix and reports a wrong table", async () => {
  const file = await golden();
  (file.tensors.get("sinusoid.n40_d16.out")!.data as Float32Array).reverse();
  assert.ok([...checkPosEmbed(file, "sincos")].every(({ ok }) => ok));
  const wrong = [...checkPosEmbed(file, "sinusoid")].filter(({ ok }) => !ok);
  assert.deepEqual(wrong.map(({ tensor }) => tensor), ["sinusoid.n40_d16.out"]);
  assert.deepEqual([...checkPosEmbed(file, "resize")], []);
});

Deno.test("sincos2d() encodes the column first, then the row, on rectangular grids", () => {
  const [dim, height, width] = [8, 2, 3];
  const table = sincos2d(dim, height, width, false);
  assert.equal(table.length, height * width * dim);
  const token = table.subarray((1 * width + 2) * dim); // row 1, column 2
  const expected = [2, 0.02].map(Math.sin).concat([2, 0.02].map(Math.cos))
    .concat([1, 0.01].map(Math.sin), [1, 0.01].map(Math.cos));
  assert.deepEqual([...token.subarray(0, dim)], expected.map(Math.fround));
});

Deno.test("sincos2d() puts a zero row first for a class token", () => {
  const table = sincos2d(4, 2, 2, true);
  assert.deepEqual([...table.subarray(0, 4)], [0, 0, 0, 0]);
  assert.deepEqual(table.slice(4), sincos2d(4, 2, 2, false));
});

Deno.test("sincos2d() refuses a dim that four does not divide", () => {
  assert.throws(() => sincos2d(6, 2, 2, false), {
    name: "RangeError",
    message: "Cannot build a 2-D sin-cos table: dim must be a multiple of 4, got 6",
  });
});

Deno.test("sinusoid() interleaves sine and cosine, also for an odd dim", () => {
  const table = sinusoid(2, 3);
  const omega = 1 / 10000 ** (2 / 3);
  const expected = [0, 1, 0, Math.sin(1), Math.cos(1), Math.sin(omega)];
  assert.deepEqual([...table], expected.map(Math.fround));
});

Deno.test("interpolatePositions() treats rows and columns of rectangles alike", () => {
  const [rows, columns] = [3, 5];
  const table = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i));
  const turned = table.map((_, i) => table[(i % rows) * columns + Math.floor(i / rows)]);
  const wide = interpolatePositions(table, [rows, columns], [4, 9]);
  const tall = interpolatePositions(turned, [columns, rows], [9, 4]);
  for (const [i, value] of wide.entries()) {
    const other = tall[(i % 9) * 4 + Math.floor(i / 9)];
    assert.ok(Math.abs(value - other) < 1e-6);
  }
});

Deno.test("interpolatePositions() keeps a constant, the tokens in front, and an equal grid", () => {
  const constant = interpolatePositions(new Float32Array(12).fill(2), [2, 3], [5, 4]);
  assert.deepEqual(constant, new Float32Array(40).fill(2));
  const table = Float32Array.from({ length: 10 }, (_, i) => i); // a token, then 2 × 2 of them
  assert.deepEqual(interpolatePositions(table, [2, 2], [2, 2], 1), table);
  assert.deepEqual([...interpolatePositions(table, [2, 2], [3, 1], 1).subarray(0, 2)], [0, 1]);
});

Deno.test("interpolatePositions() refuses a table of another grid", () => {
  assert.throws(() => interpolatePositions(new Float32Array(11), [2, 2], [3, 3], 1), {
    name: "RangeError",
    message: "Cannot interpolate positions: 11 values are no 1 + 2 × 2 tokens",
  });
});
