import assert from "node:assert/strict";
import { pasteMask, pasteSoftMask } from "../../../src/detection/paste.ts";
import { key, uniform } from "../../../src/random.ts";

const IMAGE = [40, 50] as const;
const MASK = uniform(key(1), 49);

/** The value of the mask at the middle of a pixel, in float64; none beyond a pixel around the box. */
function valueAt(box: readonly number[], pixel: number): number {
  const [x0, y0, x1, y1] = box;
  const isNear = (place: number, start: number, end: number) =>
    place >= Math.floor(start) - 1 && place < Math.ceil(end) + 1;
  if (!isNear(pixel % 50, x0, x1) || !isNear(Math.floor(pixel / 50), y0, y1)) return 0;
  const x = (pixel % 50 + 0.5 - x0) / (x1 - x0) * 7 - 0.5;
  const y = (Math.floor(pixel / 50) + 0.5 - y0) / (y1 - y0) * 7 - 0.5;
  let total = 0;
  for (let row = 0; row < 7; row++) {
    for (let column = 0; column < 7; column++) {
      const share = Math.max(0, 1 - Math.abs(x - column)) * Math.max(0, 1 - Math.abs(y - row));
      total += share * MASK[row * 7 + column];
    }
  }
  return total;
}

Deno.test("pasteMask() and pasteSoftMask() interpolate, with zeros around the mask", () => {
  for (
    const box of [[5.3, 7.1, 31.2, 29.9], [-6, -4, 60, 44.5], [20.2, 20.4, 21, 22], [
      44,
      33,
      70,
      90,
    ]]
  ) {
    const binary = pasteMask(MASK, box, IMAGE);
    const soft = pasteSoftMask(MASK, box, IMAGE);
    for (let pixel = 0; pixel < 2000; pixel++) {
      const value = valueAt(box, pixel);
      if (Math.abs(value - 0.5) > 1e-5) assert.equal(binary[pixel], value >= 0.5 ? 1 : 0);
      assert.ok(Math.abs(soft[pixel] + 0.5 - 255 * value) <= 0.501);
    }
  }
});

Deno.test("pasteMask() takes a threshold, and covers nothing for a box beyond the image", () => {
  const box = [5, 5, 25, 25];
  const sum = (mask: Uint8Array) => mask.reduce((total, value) => total + value, 0);
  const sums = [0.2, 0.5, 0.8].map((threshold) => sum(pasteMask(MASK, box, IMAGE, threshold)));
  assert.ok(sums[0] > sums[1] && sums[1] > sums[2]);
  for (const other of [[60, 5, 80, 25], [-30, 5, -10, 25], [5, 5, 5, 25]]) {
    assert.equal(sum(pasteMask(MASK, other, IMAGE)), 0);
  }
});
