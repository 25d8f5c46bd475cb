import assert from "node:assert/strict";
import {
  boxAreas,
  clipBoxes,
  nonEmptyBoxes,
  pairwiseIou,
  takeRows,
} from "../../../src/detection/boxes.ts";
import { close } from "../../check_op.ts";
import { boxAt, iouOf, randomBoxes } from "./random_boxes.ts";

const EDGES = Float32Array.of(-5, -5, 5, 5, 10, 10, 200, 300, 7, 7, 7, 9, 9, 3, 4, 8);

Deno.test("clipBoxes() keeps boxes within height and width", () => {
  assert.deepEqual(
    [...clipBoxes(EDGES, [60, 50])],
    [0, 0, 5, 5, 10, 10, 50, 60, 7, 7, 7, 9, 9, 3, 4, 8],
  );
});

Deno.test("nonEmptyBoxes() wants both sides longer than the least", () => {
  assert.deepEqual([...nonEmptyBoxes(EDGES)], [0, 1]);
  assert.deepEqual([...nonEmptyBoxes(EDGES, 10)], [1]);
});

Deno.test("boxAreas() and pairwiseIou() match float64", () => {
  const [a, b] = [randomBoxes(1, 23), randomBoxes(2, 31)];
  close(
    boxAreas(a),
    Array.from({ length: 23 }, (_, i) => {
      const [x0, y0, x1, y1] = boxAt(a, i);
      return (x1 - x0) * (y1 - y0);
    }),
    1e-6,
  );
  const ious = pairwiseIou(a, b);
  close(
    ious,
    Array.from(ious, (_, i) => iouOf(boxAt(a, Math.floor(i / 31)), boxAt(b, i % 31))),
    1e-6,
  );
  assert.ok(ious.some((iou) => iou === 0) && ious.some((iou) => iou > 0.5));
});

Deno.test("takeRows() takes rows of any size, in any order", () => {
  assert.deepEqual([...takeRows(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 0, 0], 2)], [
    ...[5, 6, 1, 2, 1, 2],
  ]);
});
