import assert from "node:assert/strict";
import { takeRows } from "../../../src/detection/boxes.ts";
import { batchedNms, bestFirst, nms } from "../../../src/detection/nms.ts";
import { key, uniform } from "../../../src/random.ts";
import { boxAt, iouOf, randomBoxes } from "./random_boxes.ts";

/** Every pair in float64, from the best to the worst. */
function reference(boxes: Float32Array, scores: Float32Array, threshold: number): number[] {
  const kept: number[] = [];
  for (const i of [...scores.keys()].sort((i, j) => scores[j] - scores[i])) {
    const beaten = kept.some((j) => iouOf(boxAt(boxes, i), boxAt(boxes, j)) > threshold);
    if (!beaten) kept.push(i);
  }
  return kept;
}

/** Scores of which some are equal. */
const scoresOf = (n: number) => uniform(key(n), n).map((u) => Math.round(u * 50) / 50);

Deno.test("nms() is the plain quadratic one", () => {
  for (const n of [1, 7, 300]) {
    const [boxes, scores] = [randomBoxes(n, n), scoresOf(n)];
    for (const threshold of [0.1, 0.3, 0.6]) {
      const kept = nms(boxes, scores, threshold);
      assert.deepEqual([...kept], reference(boxes, scores, threshold));
      // Kept boxes are all kept again.
      const again = nms(takeRows(boxes, kept), takeRows(scores, kept, 1), threshold);
      assert.deepEqual([...again], [...kept.keys()]);
    }
  }
  assert.equal(nms(new Float32Array(), new Float32Array(), 0.5).length, 0);
});

Deno.test("nms() keeps boxes whose overlap is the threshold, and those without extent", () => {
  const boxes = Float32Array.of(0, 0, 2, 2, 1, 0, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1);
  const scores = Float32Array.of(0.9, 0.8, 0.7, 0.6);
  const third = Math.fround(1 / 3); // overlap of the first two
  assert.deepEqual([...nms(boxes, scores, third)], [0, 1, 2, 3]);
  assert.deepEqual([...nms(boxes, scores, third - 1e-9)], [0, 2, 3]);
});

Deno.test("batchedNms() is nms() within each group, of few boxes and of many", () => {
  for (const n of [0, 600, 1400]) {
    const [boxes, scores] = [randomBoxes(n, n), scoresOf(n)];
    const groups = Uint8Array.from({ length: n }, (_, i) => i % 7 % 4);
    const members = [0, 1, 2, 3].flatMap((group) => {
      const rows = [...groups.keys()].filter((i) => groups[i] === group);
      return reference(takeRows(boxes, rows), takeRows(scores, rows, 1), 0.4).map((i) => rows[i]);
    });
    const expected = members.sort((i, j) => scores[j] - scores[i] || i - j);
    assert.deepEqual([...batchedNms(boxes, scores, groups, 0.4)], expected);
  }
});

Deno.test("bestFirst() leaves equal scores in their order", () => {
  assert.deepEqual([...bestFirst(Float32Array.of(1, 3, 1, 3, 2))], [1, 3, 4, 0, 2]);
});
