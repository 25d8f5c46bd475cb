import assert from "node:assert/strict";
import { rasterise } from "../../../data/coco/polygon.ts";
import { bitmapTarget, polygonTarget } from "../../../src/detection/mask_targets.ts";
import { roiAlign } from "../../../src/ops/roi_align.ts";
import { readAll } from "../../../src/plan/read.ts";
import { tensor } from "../../../src/tensor.ts";
import { sharedDevice } from "../../check_op.ts";
import { randomBoxes } from "./random_boxes.ts";

/** A disc in an image of 80 × 100. */
const SIDES = [80, 100] as const;
const DISC = Uint8Array.from(
  { length: 80 * 100 },
  (_, i) => Math.hypot(i % 100 - 45, Math.floor(i / 100) - 40) < 30 ? 1 : 0,
);

Deno.test("bitmapTarget() is roiAlign() of the mask, at half or more", async () => {
  const boxes = randomBoxes(3, 40).map((x) => 1.3 * x - 10);
  const rois = Float32Array.from(
    { length: 200 },
    (_, i) => i % 5 === 0 ? 0 : boxes[4 * Math.floor(i / 5) + i % 5 - 1],
  );
  const mask = tensor(Float32Array.from(DISC), [1, ...SIDES, 1]);
  const [shares] = await readAll(await sharedDevice(), [
    roiAlign(mask, tensor(rois, [40, 5]), { scale: 1, output: 14 }),
  ]);
  let covered = 0;
  for (let i = 0; i < 40; i++) {
    const target = bitmapTarget(DISC, SIDES, boxes.subarray(4 * i, 4 * i + 4), 14);
    target.forEach((value, cell) => {
      const share = shares[196 * i + cell];
      // A share of a half may be rounded either way.
      if (Math.abs(share - 0.5) > 1e-5) assert.equal(value, share >= 0.5 ? 1 : 0);
      covered += value;
    });
  }
  assert.ok(covered > 196 && covered < 39 * 196);
});

Deno.test("bitmapTarget() is empty for a box without extent or beyond the image", () => {
  for (const box of [[40, 40, 40, 50], [200, 40, 240, 60], [50, 40, 40, 60]]) {
    assert.ok(bitmapTarget(DISC, SIDES, box, 7).every((value) => value === 0));
  }
});

Deno.test("polygonTarget() joins polygons, moved and scaled to the box", () => {
  const square = (x: number, y: number, side: number) => [
    ...[x, y, x + side, y, x + side, y + side, x, y + side],
  ];
  const target = polygonTarget(
    [square(10, 20, 4), square(12, 22, 6)],
    [10, 20, 18, 36],
    8,
    rasterise,
  );
  const expected = Uint8Array.from({ length: 64 }, (_, i) => {
    const [x, y] = [10 + i % 8 + 0.5, 20 + 2 * Math.floor(i / 8) + 1];
    const within = (left: number, top: number, side: number) =>
      x > left && x < left + side && y > top && y < top + side;
    return within(10, 20, 4) || within(12, 22, 6) ? 1 : 0;
  });
  assert.deepEqual([...target], [...expected]);
  assert.ok(polygonTarget([], [0, 0, 5, 5], 4, rasterise).every((value) => value === 0));
});
