import assert from "node:assert/strict";
import {
  areaOf,
  bitmapOf,
  boxOf,
  intersectionOf,
  maskIou,
  runLengths,
  unionOf,
} from "../../../data/coco/run_lengths.ts";
import { fold, key, uniform } from "../../../src/random.ts";

/** Masks of many sizes, some empty, some full, with the share of their pixels that is set. */
function* randomMasks() {
  for (let i = 0; i < 60; i++) {
    const draws = uniform(fold(key(1), i), 3 + 12 * 12);
    const [height, width] = [1 + Math.floor(12 * draws[0]), 1 + Math.floor(12 * draws[1])];
    const share = [0, 0.1, 0.5, 0.9, 1][i % 5];
    const masks = [0, 1].map((shift) =>
      Uint8Array.from(
        { length: height * width },
        (_, j) => draws[3 + (j + 7 * shift) % 144] < share ? 1 : 0,
      )
    );
    yield { height, width, masks };
  }
}

const count = (mask: Uint8Array) => mask.reduce((sum, value) => sum + value, 0);

Deno.test("runLengths() goes down the columns and begins with zeros, as COCO does", () => {
  const mask = Uint8Array.from([1, 0, 0, 1, 1, 0]); // [[1, 0, 0], [1, 1, 0]]
  assert.deepEqual(runLengths(mask, 2, 3), { counts: [0, 2, 1, 1, 2], size: [2, 3] });
  assert.deepEqual(runLengths(new Uint8Array(6), 2, 3), { counts: [6], size: [2, 3] });
  assert.deepEqual(runLengths(new Uint8Array(6).fill(1), 2, 3), { counts: [0, 6], size: [2, 3] });
});

Deno.test("bitmapOf() restores every mask, and skips empty runs", () => {
  for (const { height, width, masks: [mask] } of randomMasks()) {
    assert.deepEqual(bitmapOf(runLengths(mask, height, width)), mask);
  }
  const runs = { counts: [0, 0, 1, 2, 0, 1, 2], size: [2, 3] } as const;
  assert.deepEqual([...bitmapOf(runs)], [0, 1, 0, 1, 1, 0]);
});

Deno.test("areaOf(), boxOf(), unionOf() and intersectionOf() equal those of the pixels", () => {
  for (const { height, width, masks: [a, b] } of randomMasks()) {
    const [runs, others] = [a, b].map((mask) => runLengths(mask, height, width).counts);
    assert.equal(areaOf(runs), count(a));
    const places = [...a.keys()].filter((i) => a[i]);
    const [xs, ys] = [places.map((i) => i % width), places.map((i) => Math.floor(i / width))];
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    assert.deepEqual(
      boxOf(runs, height),
      places.length === 0
        ? [0, 0, 0, 0]
        : [left, top, Math.max(...xs) - left + 1, Math.max(...ys) - top + 1],
    );
    const union = a.map((value, i) => value | b[i]);
    assert.deepEqual(unionOf([runs, others]), runLengths(union, height, width).counts);
    assert.equal(intersectionOf(runs, others), count(a.map((value, i) => value & b[i])));
  }
});

Deno.test("boxOf() passes over empty runs", () => {
  assert.deepEqual(boxOf([2, 0, 2, 1, 7], 4), [1, 0, 1, 1]);
});

Deno.test("intersectionOf() takes the masks that lie between two places of a list", () => {
  const counts = [9, 0, 3, 3, 2, 2, 2, 9];
  assert.equal(intersectionOf(counts, counts, 1, 4, 4, 7), 1); // pixels 3–5, and 2–3
});

Deno.test("unionOf() joins any number of masks, and none is an error", () => {
  assert.deepEqual(unionOf([[1, 1, 4], [2, 1, 3], [4, 2]]), [1, 2, 1, 2]);
  assert.deepEqual(unionOf([[6]]), [6]);
  assert.throws(() => unionOf([]), { message: "Cannot join masks: there are none" });
});

Deno.test("maskIou() divides by the union, and of a crowd by the detection's own area", () => {
  const [found, truth] = [[2, 4, 6], [4, 6, 2]]; // pixels 2–5, and 4–9
  assert.equal(maskIou(found, truth, false), 2 / 8);
  assert.equal(maskIou(found, truth, true), 2 / 4);
  assert.equal(maskIou([12], truth, true), 0);
  assert.equal(maskIou([12], [12], false), 0);
});
