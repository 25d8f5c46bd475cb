import assert from "node:assert/strict";
import { type Mask, spaceTimeMask, tubeMask, tubeMaskFromNoise } from "../../data/mask.ts";
import { fold, key } from "../../src/random.ts";

const keys = [0, 1, 2].map((i) => fold(key(9), i));

/** Each token has one place, visible ones that of `keep`; `removed` says the same. */
function assertWhole({ keep, restore, removed, visible }: Mask, n: number, L: number) {
  for (let sample = 0; sample < n; sample++) {
    const places = [...restore.subarray(sample * L, (sample + 1) * L)];
    assert.deepEqual(places.toSorted((a, b) => a - b), [...Array(L).keys()]);
    places.forEach((place, token) => {
      assert.equal(removed[sample * L + token], place < visible ? 0 : 1);
      if (place < visible) assert.equal(keep[sample * visible + place], token);
    });
  }
}

Deno.test("tubeMaskFromNoise() keeps the same cells in all slots, slot by slot in shuffled order", () => {
  const noise = Float32Array.of(0.4, 0.1, 0.9, 0.1, 0.5, 0.3, 0.2, 0.1);
  const mask = tubeMaskFromNoise(noise, 2, { slots: 3, cells: 4 }, 0.5);
  assert.equal(mask.visible, 6);
  assert.deepEqual([...mask.keep], [1, 3, 5, 7, 9, 11, 3, 2, 7, 6, 11, 10]);
  assert.deepEqual([...mask.removed.subarray(0, 8)], [1, 0, 1, 0, 1, 0, 1, 0]);
  assertWhole(mask, 2, 12);
});

Deno.test("tubeMask() removes int(ratio · cells) in each slot, as VideoMAE does", () => {
  const mask = tubeMask(keys, { slots: 8, cells: 196 }, 0.9);
  assert.equal(mask.visible, 160); // 8 · (196 − 176)
  assertWhole(mask, 3, 1568);
  for (let slot = 1; slot < 8; slot++) {
    assert.deepEqual(
      mask.keep.subarray(slot * 20, slot * 20 + 20).map((token) => token - slot * 196),
      mask.keep.subarray(0, 20),
    );
  }
});

Deno.test("spaceTimeMask() removes int(ratio · L) of each clip, other cells in other slots", () => {
  const tokens = { slots: 8, cells: 196 };
  const mask = spaceTimeMask(keys, tokens, 0.9);
  assert.equal(mask.visible, 1568 - 1411);
  assertWhole(mask, 3, 1568);
  const first = mask.removed.subarray(0, 196);
  assert.notDeepEqual(mask.removed.subarray(196, 392), first);
});

Deno.test("Masks of clips depend on each sample's key alone", () => {
  for (const draw of [tubeMask, spaceTimeMask]) {
    const tokens = { slots: 4, cells: 16 };
    const all = draw(keys, tokens, 0.75);
    const last = draw(keys.slice(2), tokens, 0.75);
    assert.deepEqual(all.keep.slice(2 * all.visible), last.keep);
    assert.deepEqual(all.restore.slice(128), last.restore);
  }
});

Deno.test("Masks of clips refuse a ratio that shows no or every token, and noise of another size", () => {
  const tokens = { slots: 2, cells: 4 };
  const noise = new Float32Array(4);
  assert.throws(() => tubeMaskFromNoise(noise, 1, tokens, 1), /leaves 0 of 4 tokens visible/);
  assert.throws(() => tubeMaskFromNoise(noise, 1, tokens, 0.2), /leaves 4 of 4 tokens visible/);
  assert.throws(() => tubeMaskFromNoise(noise, 2, tokens, 0.5), /4 values, not 2 × 4/);
  assert.throws(() => spaceTimeMask(keys, tokens, NaN), RangeError);
});
