import assert from "node:assert/strict";
import { SegmentationCount } from "../../../pipelines/segment/metrics.ts";

Deno.test("SegmentationCount counts intersections and unions over all images", () => {
  const count = new SegmentationCount(3);
  count.add([0, 0, 1, 1], [0, 1, 1, 1]);
  count.add(Uint16Array.of(2, 0), Uint32Array.of(2, 0));
  assert.deepEqual([...count.intersect], [2, 2, 1]);
  assert.deepEqual([...count.predicted], [3, 2, 1]);
  assert.deepEqual([...count.labelled], [2, 3, 1]);
  assert.deepEqual([...count.union], [3, 3, 1]);
  assert.deepEqual(count.figures(), {
    mIoU: (2 / 3 + 2 / 3 + 1) / 3,
    mAcc: (1 + 2 / 3 + 1) / 3,
    aAcc: 5 / 6,
    iou: [2 / 3, 2 / 3, 1],
    accuracy: [1, 2 / 3, 1],
  });
});

Deno.test("SegmentationCount leaves out ignored labels, and classes of which there is nothing", () => {
  const count = new SegmentationCount(4);
  // 255 and 4 are no classes: whatever is predicted there counts for none.
  count.add([0, 1, 2, 3, 0, 1], [255, 4, 0, 255, 0, 1]);
  assert.deepEqual([...count.predicted], [1, 1, 1, 0]);
  const { mIoU, mAcc, aAcc, iou, accuracy } = count.figures();
  assert.deepEqual(iou, [1 / 2, 1, 0, NaN]); // class 2 is predicted and never right
  assert.deepEqual(accuracy, [1 / 2, 1, NaN, NaN]);
  assert.deepEqual([mIoU, mAcc, aAcc], [1 / 2, 3 / 4, 2 / 3]);
});

Deno.test("SegmentationCount refuses another number of predictions than labels", () => {
  assert.throws(() => new SegmentationCount(2).add([0], [0, 1]), {
    name: "RangeError",
    message: "Cannot compare 1 predictions with 2 labels",
  });
});
