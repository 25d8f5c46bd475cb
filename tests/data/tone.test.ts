import assert from "node:assert/strict";
import {
  autoContrast,
  equalize,
  invert,
  posterize,
  solarize,
  solarizeAdd,
} from "../../data/tone.ts";
import type { Image } from "../../data/resize.ts";

function row(channels: number, pixels: number[]): Image {
  const width = pixels.length / channels;
  return { width, height: 1, channels, pixels: Uint8Array.from(pixels) };
}

Deno.test("autoContrast() stretches each channel by itself and truncates", () => {
  // 100 · 2.55 - 127.5 = 127.5; the second channel has one value, so it stays.
  const image = row(2, [50, 9, 100, 9, 150, 9]);
  assert.deepEqual([...autoContrast(image).pixels], [0, 9, 127, 9, 255, 9]);
});

Deno.test("equalize() counts half a step and all values below", () => {
  // 1024 pixels, 256 of each value: step (1024 - 256) / 255 = 3, so (1 + 256 k) / 3, clamped.
  const image = row(1, Array.from({ length: 1024 }, (_, i) => 10 * (1 + i % 4)));
  assert.deepEqual([...equalize(image).pixels.subarray(0, 4)], [0, 85, 171, 255]);
  const small = row(1, [3, 1, 2]); // a step of less than a pixel
  assert.deepEqual(equalize(small), small);
  const flat = row(1, Array(600).fill(8));
  assert.deepEqual(equalize(flat), flat);
});

Deno.test("posterize() keeps high bits, down to none", () => {
  const image = row(1, [0, 127, 128, 201, 255]);
  assert.deepEqual([...posterize(image, 1).pixels], [0, 0, 128, 128, 128]);
  assert.deepEqual([...posterize(image, 4).pixels], [0, 112, 128, 192, 240]);
  assert.deepEqual([...posterize(image, 0).pixels], [0, 0, 0, 0, 0]);
  assert.deepEqual(posterize(image, 8), image);
});

Deno.test("solarize() inverts from its threshold on, invert() everything", () => {
  const image = row(1, [0, 127, 128, 255]);
  assert.deepEqual([...solarize(image, 128).pixels], [0, 127, 127, 0]);
  assert.deepEqual(solarize(image, 256), image);
  assert.deepEqual(solarize(image, 0), invert(image));
  assert.deepEqual([...invert(image).pixels], [255, 128, 127, 0]);
});

Deno.test("solarizeAdd() adds below 128 only and clamps", () => {
  const image = row(1, [0, 127, 128, 255]);
  assert.deepEqual([...solarizeAdd(image, 110).pixels], [110, 237, 128, 255]);
  assert.deepEqual([...solarizeAdd(image, 200).pixels], [200, 255, 128, 255]);
});
