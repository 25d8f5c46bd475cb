import assert from "node:assert/strict";
import type { Image } from "../../../data/resize.ts";
import {
  evaluationScale,
  type ThingMask,
  type ThingView,
  thingView,
  type ThingViewSettings,
} from "../../../data/things/views.ts";
import { key } from "../../../src/random.ts";
import { drawSquares, type Square } from "./squares.ts";

const SQUARES: Square[] = [
  { x: 4, y: 6, side: 20, category: 1 },
  { x: 30, y: 28, side: 24, category: 2 },
];

function settings(changes: Partial<ThingViewSettings> = {}): ThingViewSettings {
  return {
    canvas: { width: 64, height: 32 },
    jitter: [0.5, 2],
    ...{ shorter: [16], longer: 32, flip: true, most: 10 },
    ...changes,
  };
}

function masksOf(squares: readonly Square[], width = 64, height = 64): ThingMask[] {
  return squares.map(({ x, y, side, category }) => ({
    category: category - 1,
    mask: Uint8Array.from({ length: width * height }, (_, i) => {
      const [column, row] = [i % width - x, Math.floor(i / width) - y];
      return Number(column >= 0 && column < side && row >= 0 && row < side);
    }),
  }));
}

/** Pixels of mask i on the canvas. */
function bitsOf({ masks }: ThingView, i: number, size: number): Uint8Array {
  const words = size / 32;
  return Uint8Array.from(
    { length: size },
    (_, at) => masks[i * words + (at >>> 5)] >>> (at & 31) & 1,
  );
}

Deno.test("thingView() moves image, masks and boxes alike", () => {
  const image = drawSquares(SQUARES);
  const seen = { flipped: 0, cropped: 0, padded: 0, lost: 0 };
  for (let seed = 0; seed < 120; seed++) {
    const view = thingView(image, masksOf(SQUARES), settings(), key(seed));
    const { width, height, pixels } = view.image;
    assert.ok(width <= 64 && height <= 32);
    seen.cropped += Number(height === 32);
    seen.padded += Number(width < 64);
    seen.lost += Number(view.classes.length < 2);
    if (view.classes.length === 2) seen.flipped += Number(view.boxes[0] > view.boxes[4]);
    for (const [i, category] of view.classes.entries()) {
      const bits = bitsOf(view, i, 64 * 32);
      const [left, top, right, bottom] = view.boxes.subarray(4 * i, 4 * i + 4);
      let [wrong, count] = [0, 0];
      bits.forEach((bit, at) => {
        const [x, y] = [at % 64, Math.floor(at / 64)];
        const inside = x >= left && x < right && y >= top && y < bottom;
        assert.ok(!bit || inside, "outside its box");
        if (x >= width || y >= height) return assert.equal(bit, 0);
        const [red, , blue] = pixels.subarray(3 * (y * width + x));
        count++;
        wrong += Number((category === 0 ? red - blue : blue - red) > 100 !== Boolean(bit));
      });
      assert.ok(wrong < 0.05 * count, `${wrong} of ${count}`); // edges are mixed
      // The box touches the mask on all sides.
      const columns = [...bits.keys()].filter((at) => bits[at]).map((at) => at % 64);
      assert.deepEqual([Math.min(...columns), Math.max(...columns) + 1], [left, right]);
    }
  }
  assert.ok(Object.values(seen).every((count) => count > 3), JSON.stringify(seen));
});

Deno.test("thingView() is the image itself where nothing is to be changed", () => {
  const image = drawSquares(SQUARES);
  const canvas = { width: 64, height: 64 };
  const view = thingView(
    image,
    masksOf(SQUARES),
    settings({ canvas, jitter: [1, 1], flip: false }),
    key(1),
  );
  assert.deepEqual(view.image, image);
  assert.deepEqual([...view.boxes], [4, 6, 24, 26, 30, 28, 54, 52]);
  assert.deepEqual([...view.classes], [0, 1]);
  masksOf(SQUARES).forEach(({ mask }, i) => assert.deepEqual(bitsOf(view, i, 64 * 64), mask));
});

Deno.test("thingView() keeps the largest things where there are too many", () => {
  const canvas = { width: 64, height: 64 };
  const few = settings({ canvas, jitter: [1, 1], flip: false, most: 1 });
  const { classes, boxes } = thingView(drawSquares(SQUARES), masksOf(SQUARES), few, key(1));
  assert.deepEqual([...classes, ...boxes], [1, 30, 28, 54, 52]);
});

Deno.test("evaluationScale() fits the canvas, or takes the last of the shorter edges", () => {
  const image = { width: 640, height: 480 } as Image;
  const canvas = { width: 1024, height: 1024 };
  const scale = settings({ canvas, shorter: [640, 800], longer: 1024 });
  assert.deepEqual(evaluationScale(image, scale), { width: 1024, height: 768 });
  const edges = { ...scale, jitter: null };
  assert.deepEqual(evaluationScale(image, edges), { width: 1024, height: 768 }); // 800 is too much
  const smaller = { ...edges, shorter: [600] };
  assert.deepEqual(evaluationScale(image, smaller), { width: 800, height: 600 });
});

Deno.test("thingView() draws one of the shorter edges", () => {
  const image = drawSquares(SQUARES);
  const canvas = { width: 64, height: 64 };
  const edges = settings({ canvas, jitter: null, shorter: [32, 40, 48], longer: 64 });
  const heights = Array.from(
    { length: 30 },
    (_, seed) => thingView(image, masksOf(SQUARES), edges, key(seed)).image.height,
  );
  assert.deepEqual([...new Set(heights)].sort(), [32, 40, 48]);
});
