import assert from "node:assert/strict";
import {
  centerCrop,
  evaluationCrop,
  evaluationSize,
  fallbackCropBox,
  flip,
  IMAGENET_MEAN,
  IMAGENET_STD,
  normalise,
  randomResizedCropBox,
} from "../../data/augment.ts";
import type { Image } from "../../data/resize.ts";
import { fold, key, uniform } from "../../src/random.ts";

function grey(width: number, height: number, pixels: number[]): Image {
  return { width, height, channels: 1, pixels: Uint8Array.from(pixels) };
}

Deno.test("randomResizedCropBox() stays in the image and in its ranges", () => {
  const range = { scale: [0.2, 1], ratio: [0.5, 2] } as const;
  for (let i = 0; i < 500; i++) {
    const draws = uniform(fold(key(0), i), 22).values();
    const box = randomResizedCropBox(160, 213, range, () => draws.next().value!);
    assert.ok(box.x >= 0 && box.y >= 0);
    assert.ok(box.x + box.width <= 160 && box.y + box.height <= 213);
    const area = box.width * box.height / (160 * 213);
    assert.ok(area > 0.19 && area < 1.01, `area ${area}`);
    const aspect = box.width / box.height;
    assert.ok(aspect > 0.48 && aspect < 2.08, `aspect ${aspect}`);
  }
});

Deno.test("randomResizedCropBox() falls back after ten tries", () => {
  let draws = 0;
  const draw = () => (draws++, 0.999);
  const box = randomResizedCropBox(100, 10, { scale: [0.2, 1] }, draw);
  assert.equal(draws, 20);
  assert.deepEqual(box, { x: 43, y: 0, width: 13, height: 10 });
});

Deno.test("fallbackCropBox() keeps an image whose aspect is in range", () => {
  assert.deepEqual(fallbackCropBox(50, 40), { x: 0, y: 0, width: 50, height: 40 });
});

Deno.test("evaluationSize() leaves a margin up to 224 pixels and covers rectangles", () => {
  assert.deepEqual(evaluationSize({ width: 500, height: 375 }, 224, 224), {
    width: 341, // int(256 · 500 / 375)
    height: 256,
  });
  assert.deepEqual(evaluationSize({ width: 375, height: 500 }, 384, 384), {
    width: 384,
    height: 512,
  });
  assert.deepEqual(evaluationSize({ width: 100, height: 100 }, 112, 56), {
    width: 128,
    height: 128,
  });
});

Deno.test("evaluationCrop() enlarges small images", () => {
  const view = evaluationCrop(grey(2, 1, [7, 7]), 16, 32);
  assert.deepEqual([view.width, view.height], [16, 32]);
  assert.ok(view.pixels.every((p) => p === 7));
});

Deno.test("centerCrop() rounds halves to even and pads with zeros", () => {
  // 5 to 4 columns: (5 - 4) / 2 = 0.5 rounds to 0; 7 to 4: 1.5 rounds to 2.
  assert.deepEqual([...centerCrop(grey(5, 1, [1, 2, 3, 4, 5]), 4, 1).pixels], [1, 2, 3, 4]);
  assert.deepEqual([...centerCrop(grey(7, 1, [1, 2, 3, 4, 5, 6, 7]), 4, 1).pixels], [3, 4, 5, 6]);
  assert.deepEqual([...centerCrop(grey(2, 1, [1, 2]), 5, 1).pixels], [0, 1, 2, 0, 0]);
  assert.deepEqual([...centerCrop(grey(3, 1, [1, 2, 3]), 1, 2).pixels], [2, 0]);
});

Deno.test("flip() mirrors columns and keeps channels together", () => {
  const image = {
    width: 2,
    height: 2,
    channels: 3,
    pixels: Uint8Array.from({ length: 12 }, (_, i) => i),
  };
  assert.deepEqual([...flip(image).pixels], [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]);
  assert.deepEqual(flip(flip(image)), image);
});

Deno.test("normalise() follows float32 steps for any number of channels", () => {
  const image = { width: 1, height: 1, channels: 3, pixels: Uint8Array.of(0, 128, 255) };
  // torchvision: (ToTensor(x) - mean) / std
  const expected = [0 - 0.485, 128 / 255 - 0.456, 1 - 0.406]
    .map((x, c) => x / IMAGENET_STD[c]);
  normalise(image, IMAGENET_MEAN, IMAGENET_STD)
    .forEach((x, c) => assert.ok(Math.abs(x - expected[c]) < 1e-6));
  const five = { ...image, channels: 5, pixels: Uint8Array.of(0, 51, 102, 153, 255) };
  const values = normalise(five, [0, 0, 0, 0, 0], [1, 1, 1, 1, 0.5]);
  assert.deepEqual([...values], [0, 0.2, 0.4, 0.6, 2].map(Math.fround));
  assert.throws(() => normalise(image, [0], [1]), /3 channels: mean has 1, std has 1/);
});
