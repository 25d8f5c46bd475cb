import assert from "node:assert/strict";
import { affine, rotate, type Sampling } from "../../data/affine.ts";
import type { Image } from "../../data/resize.ts";

const INTERPOLATIONS = ["nearest", "bilinear", "bicubic"] as const;

function grey(width: number, height: number, pixels: number[]): Image {
  return { width, height, channels: 1, pixels: Uint8Array.from(pixels) };
}

/** One row, shifted by `x` pixels. */
function shifted(row: number[], x: number, interpolation: Sampling["interpolation"]): number[] {
  const image = grey(row.length, 1, row);
  return [...affine(image, [1, 0, x, 0, 1, 0], { interpolation, fill: [77] }).pixels];
}

Deno.test("affine() keeps an image under the identity and fills what a shift uncovers", () => {
  for (const interpolation of INTERPOLATIONS) {
    assert.deepEqual(shifted([1, 200, 3, 255], 0, interpolation), [1, 200, 3, 255]);
    assert.deepEqual(shifted([1, 200, 3, 255], 1, interpolation), [200, 3, 255, 77]);
    assert.deepEqual(shifted([1, 200, 3, 255], -2, interpolation), [77, 77, 1, 200]);
    assert.deepEqual(shifted([1, 200, 3, 255], 9, interpolation), [77, 77, 77, 77]);
  }
});

Deno.test("affine() truncates, and repeats the edge within the image", () => {
  assert.deepEqual(shifted([10, 11, 20], 0.5, "bilinear"), [10, 15, 77]);
  // The last source is 0.1 pixels before the image's end, 0.4 beyond its last centre.
  assert.deepEqual(shifted([10, 20], 0.4, "bilinear"), [14, 20]);
  assert.deepEqual(shifted([10, 20], 0.4, "nearest"), [10, 20]);
});

Deno.test("affine() has the cubic with a = -1, clamped", () => {
  // Half-way weights are -1/8, 5/8, 5/8, -1/8: 10 + 190 · 5/8 = 128.75 and 10 - 190/8 < 0.
  const row = [10, 10, 10, 10, 200, 10, 10, 10, 10];
  assert.deepEqual(shifted(row, 0.5, "bicubic"), [10, 10, 0, 128, 128, 0, 10, 10, 77]);
  const [, , , , peak] = shifted([0, 0, 0, 255, 255, 255, 255, 0, 0], 0.5, "bicubic");
  assert.equal(peak, 255); // 255 · 5/4 beyond the range
});

Deno.test("affine() maps rows by the lower half of its matrix", () => {
  const image = grey(2, 3, [1, 2, 3, 4, 5, 6]);
  const up = affine(image, [1, 0, 0, 0, 1, 1], { interpolation: "bicubic", fill: [0] });
  assert.deepEqual([...up.pixels], [3, 4, 5, 6, 0, 0]);
  // Centres lie half a pixel in, so y' = y + x takes -1/2 to keep the first column.
  const sheared = affine(image, [1, 0, 0, 1, 1, -0.5], { interpolation: "nearest", fill: [0] });
  assert.deepEqual([...sheared.pixels], [1, 4, 3, 6, 5, 0]);
});

Deno.test("rotate() turns counterclockwise about the centre, right angles exactly", () => {
  const image = grey(3, 3, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  for (const interpolation of INTERPOLATIONS) {
    const turned = (degrees: number) => [
      ...rotate(image, degrees, { interpolation, fill: [0] }).pixels,
    ];
    assert.deepEqual(turned(90), [3, 6, 9, 2, 5, 8, 1, 4, 7]);
    assert.deepEqual(turned(-90), [7, 4, 1, 8, 5, 2, 9, 6, 3]);
    assert.deepEqual(turned(180), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert.deepEqual(turned(-360), [...image.pixels]);
    assert.equal(turned(45)[4], 5);
  }
});

Deno.test("rotate() treats each of any number of channels alone", () => {
  const [width, height, channels] = [7, 5, 5];
  const pixels = Uint8Array.from({ length: width * height * channels }, (_, i) => i * 37);
  const fill = [1, 2, 3, 4, 5];
  for (const interpolation of INTERPOLATIONS) {
    const all = rotate({ width, height, channels, pixels }, 20, { interpolation, fill });
    for (let c = 0; c < channels; c++) {
      const own = (_: number, i: number) => i % channels === c;
      const alone = grey(width, height, [...pixels.filter(own)]);
      const expected = rotate(alone, 20, { interpolation, fill: [fill[c]] });
      assert.deepEqual(all.pixels.filter(own), expected.pixels);
    }
  }
});

Deno.test("affine() refuses a fill of another number of channels", () => {
  assert.throws(
    () => rotate(grey(1, 1, [0]), 9, { interpolation: "bicubic", fill: [1, 2, 3] }),
    /Cannot map 1 channels: the fill has 3/,
  );
});
