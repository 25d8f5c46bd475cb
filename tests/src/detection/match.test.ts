import assert from "node:assert/strict";
import { pairwiseIou } from "../../../src/detection/boxes.ts";
import { ANCHOR_MATCH, matchBoxes, PROPOSAL_MATCH } from "../../../src/detection/match.ts";
import { randomBoxes } from "./random_boxes.ts";

/** The matcher on the whole matrix of overlaps, rule by rule. */
function reference(truth: Float32Array, boxes: Float32Array, rule: typeof ANCHOR_MATCH) {
  const n = boxes.length / 4;
  const ious = pairwiseIou(truth, boxes);
  const rows = Array.from({ length: truth.length / 4 }, (_, i) => ious.subarray(i * n, i * n + n));
  const best = Array.from({ length: n }, (_, j) => Math.max(...rows.map((row) => row[j])));
  const label = best.map((iou) =>
    rule.labels[rule.thresholds.filter((bound) => iou >= Math.fround(bound)).length]
  );
  if (rule.lowQuality) {
    for (const row of rows) row.forEach((iou, j) => iou === Math.max(...row) && (label[j] = 1));
  }
  return { label, index: best.map((iou, j) => rows.findIndex((row) => row[j] === iou)) };
}

Deno.test("matchBoxes() is the matcher on the whole matrix, ties included", () => {
  for (const seed of [1, 2, 3, 4]) {
    const [truth, boxes] = [randomBoxes(seed, 12), randomBoxes(seed + 10, 200)];
    for (const rule of [ANCHOR_MATCH, PROPOSAL_MATCH]) {
      const { index, label } = matchBoxes(truth, boxes, rule);
      const expected = reference(truth, boxes, rule);
      assert.deepEqual([...label], expected.label);
      assert.deepEqual([...index], expected.index);
    }
  }
});

Deno.test("matchBoxes() finds background alone where nothing is", () => {
  const { index, label } = matchBoxes(new Float32Array(), randomBoxes(1, 3), ANCHOR_MATCH);
  assert.deepEqual([[...index], [...label]], [[0, 0, 0], [0, 0, 0]]);
});

Deno.test("matchBoxes() makes every box a thing for a true box that overlaps none", () => {
  const truth = Float32Array.of(500, 500, 501, 501);
  assert.deepEqual([...matchBoxes(truth, randomBoxes(1, 3), ANCHOR_MATCH).label], [1, 1, 1]);
  assert.deepEqual([...matchBoxes(truth, randomBoxes(1, 3), PROPOSAL_MATCH).label], [0, 0, 0]);
});
