import assert from "node:assert/strict";
import { assignLevels, regionsByLevel } from "../../../src/detection/levels.ts";

const squares = (...sides: number[]) =>
  Float32Array.from(sides.flatMap((x) => [5, 5, 5 + x, 5 + x]));

Deno.test("assignLevels() goes up a map where a side doubles, from 224 at p4", () => {
  const sides = [1, 111, 112, 223, 224, 447, 448, 5000];
  assert.deepEqual([...assignLevels(squares(...sides))], [0, 0, 1, 1, 2, 2, 3, 3]);
});

Deno.test("regionsByLevel() has every box once, and −1 in all other rows", () => {
  const images = [squares(30, 300), squares(), squares(500, 40, 130)];
  const maps = regionsByLevel(images, 3);
  assert.equal(maps.length, 4);
  images.forEach((boxes, image) => {
    const levels = assignLevels(boxes);
    for (let slot = 0; slot < 3; slot++) {
      const at = 5 * (3 * image + slot);
      maps.forEach((regions, level) =>
        assert.deepEqual(
          [...regions.subarray(at, at + 5)],
          levels[slot] === level
            ? [image, ...boxes.subarray(4 * slot, 4 * slot + 4)]
            : [-1, 0, 0, 0, 0],
        )
      );
    }
  });
});

Deno.test("regionsByLevel() refuses more boxes than slots", () => {
  assert.throws(() => regionsByLevel([squares(1, 2, 3)], 2), {
    name: "RangeError",
    message: "Cannot put 3 boxes into 2 slots",
  });
});
