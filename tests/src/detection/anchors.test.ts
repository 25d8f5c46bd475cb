import assert from "node:assert/strict";
import { cellAnchors, gridAnchors, PYRAMID_ANCHORS } from "../../../src/detection/anchors.ts";
import { boxAreas } from "../../../src/detection/boxes.ts";
import { close } from "../../check_op.ts";

const RULE = { stride: 8, sizes: [16, 32], ratios: [0.5, 1, 2] };

Deno.test("cellAnchors() have areas of sizes squared, and the ratios, around 0", () => {
  const anchors = cellAnchors(RULE);
  close(boxAreas(anchors), [256, 256, 256, 1024, 1024, 1024], 1e-6);
  for (let i = 0; i < 6; i++) {
    const [x0, y0, x1, y1] = anchors.subarray(4 * i, 4 * i + 4);
    close([(y1 - y0) / (x1 - x0)], [RULE.ratios[i % 3]], 1e-6);
    assert.deepEqual([x0 + x1, y0 + y1], [0, 0]);
  }
});

Deno.test("gridAnchors() go by row, column and anchor of the cell", () => {
  const cell = cellAnchors(RULE);
  for (const offset of [0, 0.5]) {
    const anchors = gridAnchors({ ...RULE, offset }, [3, 5]);
    assert.equal(anchors.length, 3 * 5 * 6 * 4);
    const at = 4 * ((2 * 5 + 3) * 6 + 1); // row 2, column 3, anchor 1
    const [x, y] = [8 * (3 + offset), 8 * (2 + offset)];
    assert.deepEqual(
      [...anchors.subarray(at, at + 4)],
      Array.from(cell.subarray(4, 8), (side, i) => Math.fround(side + (i % 2 === 0 ? x : y))),
    );
  }
});

Deno.test("PYRAMID_ANCHORS are of 32 to 512 pixels", () => {
  assert.deepEqual(PYRAMID_ANCHORS.map(({ stride, sizes }) => [stride, ...sizes]), [
    ...[[4, 32], [8, 64], [16, 128], [32, 256], [64, 512]],
  ]);
});
