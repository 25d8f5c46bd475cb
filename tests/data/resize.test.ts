import assert from "node:assert/strict";
import { crop, type Filter, type Image, resize } from "../../data/resize.ts";
import { key, uniform } from "../../src/random.ts";

const FILTERS: Filter[] = ["nearest", "bilinear", "bicubic", "lanczos"];

function noise(width: number, height: number, channels: number): Image {
  const draws = uniform(key(width * height), width * height * channels);
  return { width, height, channels, pixels: Uint8Array.from(draws, (u) => u * 256) };
}

Deno.test("resize() gives Pillow's pixels on a ramp, shrunk and enlarged", () => {
  const ramp = { width: 4, height: 1, channels: 1, pixels: Uint8Array.of(0, 100, 200, 250) };
  // Pillow 9.4: Image.fromarray(ramp).resize((2, 1), filter) and (6, 1).
  const expected: [Filter, number[], number[]][] = [
    ["nearest", [100, 250], [0, 100, 100, 200, 200, 250]],
    ["bilinear", [71, 207], [0, 50, 117, 183, 225, 250]],
    ["bicubic", [61, 218], [0, 41, 117, 186, 232, 253]],
    ["lanczos", [57, 223], [0, 36, 122, 186, 235, 252]],
  ];
  for (const [filter, small, large] of expected) {
    assert.deepEqual([...resize(ramp, 2, 1, filter).pixels], small);
    assert.deepEqual([...resize(ramp, 6, 1, filter).pixels], large);
  }
});

Deno.test("resize() of a box equals the resize of its crop", () => {
  const image = noise(23, 17, 3);
  const box = { x: 5, y: 2, width: 11, height: 13 };
  for (const filter of FILTERS) {
    assert.deepEqual(resize(image, 7, 31, filter, box), resize(crop(image, box), 7, 31, filter));
  }
});

Deno.test("resize() treats channels apart, any number of them", () => {
  const image = noise(9, 8, 5);
  const plane = (image: Image, c: number): Image => ({
    ...image,
    channels: 1,
    pixels: image.pixels.filter((_, i) => i % image.channels === c),
  });
  const three = { ...image, channels: 3, pixels: image.pixels.filter((_, i) => i % 5 < 3) };
  for (const filter of FILTERS) {
    for (let c = 0; c < 5; c++) {
      const expected = resize(plane(image, c), 13, 5, filter);
      assert.deepEqual(plane(resize(image, 13, 5, filter), c), expected);
      if (c < 3) assert.deepEqual(plane(resize(three, 13, 5, filter), c), expected);
    }
  }
});

Deno.test("resize() keeps a constant image constant and its own size unchanged", () => {
  const image = noise(6, 5, 3);
  const flat = { ...image, pixels: image.pixels.map(() => 137) };
  for (const filter of FILTERS) {
    assert.deepEqual(resize(image, 6, 5, filter), image);
    for (const [width, height] of [[1, 1], [40, 2], [3, 90]]) {
      assert.ok(resize(flat, width, height, filter).pixels.every((p) => p === 137));
    }
  }
});

Deno.test("resize() refuses empty results and boxes that leave the image", () => {
  const image = noise(4, 4, 1);
  assert.throws(() => resize(image, 0, 3, "bicubic"), RangeError);
  assert.throws(() => resize(image, 2.5, 3, "bicubic"), RangeError);
  assert.throws(
    () => resize(image, 2, 2, "bicubic", { x: 1, y: 0, width: 4, height: 4 }),
    /Cannot crop 4 × 4 at \(1, 0\) from 4 × 4 pixels/,
  );
});
