import assert from "node:assert/strict";
import { rescaledSize, resizeImage, resizeMask } from "../../../data/masks/resize.ts";
import { crop } from "../../../data/resize.ts";

const IMAGE = {
  ...{ width: 6, height: 4, channels: 1 },
  pixels: Uint8Array.from({ length: 24 }, (_, i) => i * 37 + 11),
};
const MASK = { width: 6, height: 4, labels: Uint16Array.from({ length: 24 }, (_, i) => 300 + i) };

Deno.test("rescaledSize() is that of mmcv's imrescale", () => {
  const scale = { long: 2048, short: 512 };
  assert.deepEqual(rescaledSize({ width: 683, height: 512 }, scale, 1), {
    ...{ width: 683, height: 512 },
  });
  assert.deepEqual(rescaledSize({ width: 300, height: 401 }, scale, 1), {
    ...{ width: 512, height: 684 },
  });
  assert.deepEqual(rescaledSize({ width: 3000, height: 300 }, scale, 1), {
    ...{ width: 2048, height: 205 },
  });
  // The scale is truncated before the factor is found: 512 × 0.7 = 358.4.
  assert.deepEqual(rescaledSize({ width: 683, height: 512 }, scale, 0.7), {
    ...{ width: 478, height: 358 },
  });
  assert.deepEqual(rescaledSize({ width: 101, height: 60 }, null, 1), { width: 101, height: 60 });
  assert.deepEqual(rescaledSize({ width: 101, height: 60 }, null, 0.5), { width: 50, height: 30 });
  assert.deepEqual(rescaledSize({ width: 900, height: 1 }, { long: 9, short: 9 }, 1), {
    ...{ width: 9, height: 1 },
  });
});

// Expected values are those of OpenCV 4.14.

Deno.test("resizeImage() equals OpenCV's bilinear, larger and smaller", () => {
  assert.deepEqual([...resizeImage(IMAGE, { width: 9, height: 5 }).pixels], [
    ...[11, 29, 54, 79, 103, 128, 153, 177, 196, 166, 95, 30, 55, 80, 104, 129, 153, 172],
    ...[216, 171, 110, 49, 53, 77, 102, 127, 145, 189, 207, 202, 107, 64, 50, 74, 99, 118],
    ...[165, 183, 208, 233, 129, 26, 51, 75, 94],
  ]);
  assert.deepEqual([...resizeImage(IMAGE, { width: 4, height: 3 }).pixels], [
    ...[46, 70, 125, 181, 193, 57, 80, 136, 180, 203, 35, 90],
  ]);
});

Deno.test("resizeMask() equals OpenCV's nearest, for labels of 16 bits", () => {
  const resized = (width: number, height: number) =>
    Array.from(resizeMask(MASK, { width, height }).labels, (label) => label - 300);
  assert.deepEqual(resized(9, 5), [
    ...[0, 0, 1, 2, 2, 3, 4, 4, 5, 0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 10, 10, 11],
    ...[12, 12, 13, 14, 14, 15, 16, 16, 17, 18, 18, 19, 20, 20, 21, 22, 22, 23],
  ]);
  assert.deepEqual(resized(4, 3), [0, 1, 3, 4, 6, 7, 9, 10, 12, 13, 15, 16]);
});

Deno.test("resizeImage() and resizeMask() make a part alone, and leave what keeps its size", () => {
  const pixels = Uint8Array.from({ length: 7 * 5 * 3 }, (_, i) => i * i);
  const image = { width: 7, height: 5, channels: 3, pixels };
  assert.deepEqual(resizeImage(image, image).pixels, pixels);
  assert.deepEqual(resizeMask(MASK, MASK).labels, MASK.labels);
  const size = { width: 17, height: 12 };
  const box = { x: 5, y: 3, width: 9, height: 8 };
  assert.deepEqual(resizeImage(image, size, box), crop(resizeImage(image, size), box));
  const whole = resizeMask(MASK, size).labels;
  const { width, height, labels } = resizeMask(MASK, size, box);
  assert.deepEqual([width, height], [9, 8]);
  labels.forEach((label, i) => {
    assert.equal(label, whole[(box.y + Math.floor(i / 9)) * 17 + box.x + i % 9]);
  });
});
