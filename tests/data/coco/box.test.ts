import assert from "node:assert/strict";
import { boxIou } from "../../../data/coco/box.ts";

const FOUND = [0, 0, 0, 0, 2, 1, 4, 2];
const TRUTHS = [4, 2, 6, 5, 6, 1, 3, 3, 2, 1, 4, 2, 2, 1, 0, 2, -10, -10, 100, 100];

Deno.test("boxIou() divides the intersection by the union", () => {
  const ious = [0, 1, 2, 3, 4].map((j) => boxIou(FOUND, 1, TRUTHS, j, false));
  assert.deepEqual(ious, [2 / (8 + 30 - 2), 0, 1, 0, 8 / 10000]);
  assert.equal(boxIou(FOUND, 0, TRUTHS, 4, false), 0); // no area
});

Deno.test("boxIou() of a crowd is the share of the detection that lies in it", () => {
  const ious = [0, 1, 4].map((j) => boxIou(FOUND, 1, TRUTHS, j, true));
  assert.deepEqual(ious, [2 / 8, 0, 1]);
  assert.equal(boxIou(FOUND, 0, TRUTHS, 4, true), 0);
});
