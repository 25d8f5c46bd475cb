import assert from "node:assert/strict";
import { BOX_WEIGHTS } from "../../../src/detection/box_deltas.ts";
import { rescaleInstances, selectInstances } from "../../../src/detection/instances.ts";

const RULE = { score: 0.3, overlap: 0.5, most: 10, weights: BOX_WEIGHTS };
const BOXES = Float32Array.of(0, 0, 10, 10, 1, 0, 11, 10, 50, 50, 80, 200);
// Two classes and the background of three proposals.
const SCORES = Float32Array.of(0.6, 0.35, 0.05, 0.5, 0.4, 0.1, 0.1, 0.9, 0);
const DELTAS = new Float32Array(3 * 2 * 4);

Deno.test("selectInstances() drops what is alike within a class, not between classes", () => {
  const { boxes, scores, classes, proposals } = selectInstances(
    { boxes: BOXES, scores: SCORES, deltas: DELTAS },
    [100, 100],
    RULE,
  );
  assert.deepEqual([...scores], [0.9, 0.6, 0.4].map(Math.fround));
  assert.deepEqual([[...classes], [...proposals]], [[1, 0, 1], [2, 0, 1]]);
  assert.deepEqual([...boxes], [50, 50, 80, 100, 0, 0, 10, 10, 1, 0, 11, 10]);
});

Deno.test("selectInstances() takes the best, and nothing that is not finite", () => {
  const deltas = DELTAS.slice();
  deltas[2 * 8] = NaN;
  const found = selectInstances({ boxes: BOXES, scores: SCORES, deltas }, [100, 100], {
    ...{ ...RULE, most: 1 },
  });
  assert.deepEqual([...found.proposals], [0]);
  const none = selectInstances({ boxes: BOXES, scores: SCORES, deltas }, [100, 100], {
    ...{ ...RULE, score: 1 },
  });
  assert.equal(none.boxes.length, 0);
});

Deno.test("rescaleInstances() scales, clips and leaves out what is empty", () => {
  const found = selectInstances(
    { boxes: BOXES, scores: SCORES, deltas: DELTAS },
    [300, 100],
    { ...RULE, score: 0.5 },
  );
  const { boxes, classes } = rescaleInstances(found, [100, 100], [50, 200]);
  assert.deepEqual([...boxes], [100, 25, 160, 50, 0, 0, 20, 5]);
  assert.deepEqual([...classes], [1, 0]);
  const gone = rescaleInstances(found, [25, 100], [25, 100]);
  assert.deepEqual([...gone.proposals], [0]);
});
