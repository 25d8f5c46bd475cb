import assert from "node:assert/strict";
import { brightness, color, contrast, sharpness } from "../../data/enhance.ts";
import type { Image } from "../../data/resize.ts";

function row(channels: number, pixels: number[]): Image {
  const width = pixels.length / channels;
  return { width, height: 1, channels, pixels: Uint8Array.from(pixels) };
}

Deno.test("enhancers keep the image at factor 1, for any number of channels", () => {
  for (const channels of [1, 2, 3, 5]) {
    const pixels = Uint8Array.from({ length: 20 * channels }, (_, i) => i * 91);
    const image = { width: 4, height: 5, channels, pixels };
    for (const enhance of [brightness, color, contrast, sharpness]) {
      assert.deepEqual(enhance(image, 1), image);
    }
  }
});

Deno.test("brightness() scales, truncates and clamps", () => {
  const image = row(1, [0, 101, 255]);
  assert.deepEqual([...brightness(image, 0.5).pixels], [0, 50, 127]);
  assert.deepEqual([...brightness(image, 1.9).pixels], [0, 191, 255]);
});

Deno.test("contrast() starts from the rounded mean of the grey image", () => {
  const image = row(1, [0, 100, 202]); // mean 100.67
  assert.deepEqual([...contrast(image, 0).pixels], [101, 101, 101]);
  assert.deepEqual([...contrast(image, 0.5).pixels], [50, 100, 151]);
  assert.deepEqual([...contrast(image, 2).pixels], [0, 99, 255]);
  assert.deepEqual([...contrast(row(3, [255, 0, 0]), 0).pixels], [76, 76, 76]);
});

Deno.test("color() starts from luma, or from the mean of other than three channels", () => {
  // Luma of red: 255 · 0.299 = 76.2.
  assert.deepEqual([...color(row(3, [255, 0, 0]), 0).pixels], [76, 76, 76]);
  assert.deepEqual([...color(row(3, [255, 0, 0]), 0.5).pixels], [165, 38, 38]);
  assert.deepEqual([...color(row(3, [200, 100, 100]), 1.5).pixels], [235, 85, 85]);
  assert.deepEqual([...color(row(4, [1, 2, 4, 7]), 0).pixels], [4, 4, 4, 4]); // 3.5 rounds up
  assert.deepEqual([...color(row(1, [9, 200]), 0).pixels], [9, 200]);
});

Deno.test("sharpness() starts from a blur with 5/13 in the centre and leaves the border", () => {
  const image = {
    width: 3,
    height: 3,
    channels: 2,
    pixels: Uint8Array.from({ length: 18 }, (_, i) => i === 8 ? 130 : i % 2),
  };
  const centre = (factor: number) => sharpness(image, factor).pixels[8];
  assert.deepEqual([0, 0.5, 1, 1.5, 2].map(centre), [50, 90, 130, 170, 210]);
  for (const factor of [0, 2]) {
    const rest = sharpness(image, factor).pixels.with(8, 130);
    assert.deepEqual(rest, image.pixels); // the other channel is flat
  }
  const thin = row(1, [1, 200, 3]);
  assert.deepEqual(sharpness(thin, 0), thin);
});
