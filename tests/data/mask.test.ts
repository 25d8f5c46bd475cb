import assert from "node:assert/strict";
import { maskFromNoise, randomMask } from "../../data/mask.ts";
import { fold, key } from "../../src/random.ts";

Deno.test("maskFromNoise() keeps the tokens of least noise in shuffled order, ties by index", () => {
  const noise = Float32Array.of(0.4, 0.1, 0.9, 0.1, 0.5, 0.3, 0.2, 0.1);
  const mask = maskFromNoise(noise, 2, 4, 0.5);
  assert.equal(mask.visible, 2);
  assert.deepEqual([...mask.keep], [1, 3, 3, 2]);
  assert.deepEqual([...mask.restore], [2, 0, 3, 1, 3, 2, 1, 0]);
  assert.deepEqual([...mask.removed], [1, 0, 1, 0, 1, 1, 0, 0]);
});

Deno.test("maskFromNoise() rounds the visible count as Python's int(L * (1 - ratio))", () => {
  const visible = (length: number, ratio: number) =>
    maskFromNoise(new Float32Array(length), 1, length, ratio).visible;
  assert.equal(visible(196, 0.75), 49);
  assert.equal(visible(196, 0.6), 78);
  assert.equal(visible(1568, 0.9), 156); // 1 - 0.9 is just below 0.1
});

Deno.test("maskFromNoise() refuses a ratio that shows no or every token", () => {
  const noise = new Float32Array(4);
  assert.throws(() => maskFromNoise(noise, 1, 4, 0.8), /leaves 0 of 4 tokens visible/);
  assert.throws(() => maskFromNoise(noise, 1, 4, 0), /leaves 4 of 4 tokens visible/);
  assert.throws(() => maskFromNoise(noise, 1, 4, NaN), RangeError);
  assert.throws(() => maskFromNoise(noise, 2, 4, 0.5), RangeError);
});

Deno.test("randomMask() depends on each sample's key alone", () => {
  const keys = [0, 1, 2].map((i) => fold(key(9), i));
  const all = randomMask(keys, 196, 0.75);
  const last = randomMask(keys.slice(2), 196, 0.75);
  assert.deepEqual(all.keep.slice(98), last.keep);
  assert.deepEqual(all.restore.slice(392), last.restore);
  assert.equal(all.removed.reduce((sum, x) => sum + x, 0), 3 * 147);
});
