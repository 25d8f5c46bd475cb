import assert from "node:assert/strict";
import { rasterise } from "../../../data/coco/polygon.ts";
import { bitmapOf } from "../../../data/coco/run_lengths.ts";
import { runString } from "../../../data/coco/run_string.ts";

Deno.test("rasterise() gives the runs of pycocotools 2.0", () => {
  const cases: [number[], string][] = [
    [[1.3, 0.7, 10.9, 2.2, 8.4, 7.9, 3.1, 8.6], "c0454LO101O00000M3N9"],
    [[-4.2, 3, 6, -5.5, 20, 4, 6.6, 13.1], "0721Ob2"], // corners outside, on all sides
    [[-0.4, 12.3, 9.3, -2.8, 9.9, -3.2], "`11>0n0"], // rounded towards 0
    [[2, 2, 2, 2, 9, 2, 9, 2, 5.5, 7.5], "d0181O2N1OO1N2Oj0"], // corners twice
  ];
  for (const [polygon, expected] of cases) {
    assert.equal(runString(rasterise(polygon, 9, 12)), expected);
  }
  // Thinner than a pixel: nothing.
  assert.deepEqual([...rasterise([1, 1, 4, 1, 4, 1.2], 7, 5)], [35]);
});

Deno.test("rasterise() fills exactly the pixels of a rectangle, whichever way it is drawn", () => {
  const [height, width] = [8, 11];
  for (const [x, y, w, h] of [[2, 3, 5, 4], [0, 0, 11, 8], [10, 7, 1, 1], [4, 0, 3, 8]]) {
    const corners = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]];
    for (const polygon of [corners.flat(), corners.toReversed().flat()]) {
      const counts = [...rasterise(polygon, height, width)];
      const expected = Uint8Array.from({ length: height * width }, (_, i) => {
        const [row, column] = [Math.floor(i / width), i % width];
        return row >= y && row < y + h && column >= x && column < x + w ? 1 : 0;
      });
      assert.deepEqual(bitmapOf({ counts, size: [height, width] }), expected);
    }
  }
});

Deno.test("rasterise() leaves a polygon beside the image out, and counts all its pixels", () => {
  for (const polygon of [[20, 1, 30, 1, 25, 6], [1, 20, 6, 20, 3, 30], [-9, -9, -2, -9, -5, -2]]) {
    const runs = rasterise(polygon, 6, 9);
    assert.equal(runs.reduce((sum, count) => sum + count), 54);
    assert.equal(runs.filter((count, i) => i % 2 === 1 && count > 0).length, 0);
  }
});
