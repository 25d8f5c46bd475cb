import assert from "node:assert/strict";
import { checkPosEmbed } from "../../pipelines/parity/tables.ts";
import { sincos2d, sinusoid } from "../../src/pos_embed.ts";
import { loadSafetensors } from "../../src/safetensors.ts";

const golden = () => loadSafetensors("tests/golden/pos_embed.safetensors");

Deno.test("sincos2d() and sinusoid() match the published tables", async () => {
  const checks = [...checkPosEmbed(await golden())];
  assert.equal(checks.length, 3 + 2 * 3 + 2);
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
});

Deno.test("checkPosEmbed() keeps to its prefix and reports a wrong table", async () => {
  const file = await golden();
  (file.tensors.get("sinusoid.n40_d16.out")!.data as Float32Array).reverse();
  assert.ok([...checkPosEmbed(file, "sincos")].every(({ ok }) => ok));
  const wrong = [...checkPosEmbed(file, "sinusoid")].filter(({ ok }) => !ok);
  assert.deepEqual(wrong.map(({ tensor }) => tensor), ["sinusoid.n40_d16.out"]);
  assert.deepEqual([...checkPosEmbed(file, "interp")], []);
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
