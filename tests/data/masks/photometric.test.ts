import assert from "node:assert/strict";
import { saturate, turnHue } from "../../../data/masks/hsv.ts";
import { photometricDistortion } from "../../../data/masks/photometric.ts";
import type { Image } from "../../../data/resize.ts";
import { fold, key } from "../../../src/random.ts";

const COLOURS = [
  ...[[200, 100, 50], [10, 250, 130], [30, 40, 220], [90, 90, 90], [0, 0, 0], [255, 0, 128]],
];

function imageOf(pixels: number[][]): Image {
  const channels = pixels[0].length;
  return { width: pixels.length, height: 1, channels, pixels: Uint8Array.from(pixels.flat()) };
}

function rows({ pixels, channels }: Image): number[][] {
  return Array.from(
    { length: pixels.length / channels },
    (_, i) => [...pixels.subarray(i * channels, (i + 1) * channels)],
  );
}

// Expected values are those of OpenCV 4.14, pixel by pixel.

Deno.test("saturate() multiplies the saturation of OpenCV's HSV", () => {
  assert.deepEqual(rows(saturate(imageOf(COLOURS), 0.6)), [
    ...[[200, 140, 111], [106, 250, 178], [106, 114, 220], [90, 90, 90], [0, 0, 0]],
    [255, 102, 178],
  ]);
  assert.deepEqual(rows(saturate(imageOf(COLOURS), 1.5)), [
    ...[[200, 67, 0], [0, 250, 125], [0, 15, 220], [90, 90, 90], [0, 0, 0], [255, 0, 127]],
  ]);
});

Deno.test("turnHue() turns the hue of OpenCV's HSV, around the circle", () => {
  assert.deepEqual(rows(turnHue(imageOf(COLOURS), -18)), [
    ...[[200, 50, 90], [34, 250, 10], [30, 157, 220], [90, 90, 90], [0, 0, 0], [230, 0, 255]],
  ]);
  assert.deepEqual(rows(turnHue(imageOf([[255, 0, 0], [0, 0, 255]]), 60)), [
    ...[[0, 255, 0], [255, 0, 0]],
  ]);
});

Deno.test("photometricDistortion() makes each change in half of the cases", () => {
  const ramp = imageOf(Array.from({ length: 64 }, (_, i) => [3 * i, 120, 200 - 2 * i]));
  const results = Array.from(
    { length: 400 },
    (_, i) => photometricDistortion(ramp, fold(key(1), i)).pixels,
  );
  // Nothing is drawn in a sixteenth of the cases.
  const same = results.filter((pixels) => pixels.every((value, i) => value === ramp.pixels[i]));
  assert.ok(same.length > 10 && same.length < 45, `${same.length} of 400`);
  assert.ok(new Set(results.map(String)).size > 300); // some differ in one of 36 hues alone
  assert.deepEqual(photometricDistortion(ramp, key(7)), photometricDistortion(ramp, key(7)));
});

Deno.test("photometricDistortion() changes other than three channels in brightness and contrast alone", () => {
  for (const channels of [1, 2, 5]) {
    const image = imageOf([0, 60, 120, 180].map((value) => Array(channels).fill(value)));
    for (let i = 0; i < 40; i++) {
      const changed = rows(photometricDistortion(image, fold(key(3), i)));
      const [black, , grey, bright] = changed.map(([first]) => first);
      for (const row of changed) assert.ok(row.every((value) => value === row[0]));
      assert.ok(black <= 48 && grey >= 28 && grey <= 228 && bright >= grey);
    }
  }
});
