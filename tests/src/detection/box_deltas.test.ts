import assert from "node:assert/strict";
import {
  BOX_WEIGHTS,
  decodeBoxes,
  encodeBoxes,
  PROPOSAL_WEIGHTS,
} from "../../../src/detection/box_deltas.ts";
import { close } from "../../check_op.ts";
import { randomBoxes } from "./random_boxes.ts";

Deno.test("decodeBoxes() undoes encodeBoxes()", () => {
  const [boxes, targets] = [randomBoxes(1, 40), randomBoxes(2, 40)];
  for (const weights of [PROPOSAL_WEIGHTS, BOX_WEIGHTS]) {
    const deltas = encodeBoxes(boxes, targets, weights);
    close(decodeBoxes(boxes, deltas, weights), targets, 1e-6);
  }
});

Deno.test("encodeBoxes() gives shifts in sides and logarithms of scales, times the weights", () => {
  const deltas = encodeBoxes(Float32Array.of(0, 0, 4, 2), Float32Array.of(1, 2, 9, 3), [
    1,
    2,
    3,
    4,
  ]);
  close(deltas, [0.75, 1.5, 3 * Math.log(2), 4 * Math.log(0.5)], 1e-7);
});

Deno.test("decodeBoxes() moves a box once for every class", () => {
  const boxes = Float32Array.of(0, 0, 4, 4, 10, 10, 14, 14);
  const deltas = new Float32Array(24);
  [0, 1, 2, 3, 4, 5].forEach((i) => deltas[4 * i] = i);
  const left = decodeBoxes(boxes, deltas, PROPOSAL_WEIGHTS).filter((_, i) => i % 4 === 0);
  assert.deepEqual([...left], [0, 4, 8, 22, 26, 30]);
});

Deno.test("decodeBoxes() lets no side grow more than 62.5 times", () => {
  const [, y0, x1, y1] = decodeBoxes(
    Float32Array.of(0, 0, 16, 16),
    Float32Array.of(0, 0, 1000, 1e30),
    PROPOSAL_WEIGHTS,
  );
  close([x1 - 8, y1 - y0], [500, 1000], 1e-6);
});
