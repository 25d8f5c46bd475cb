/**
 * Affine maps of images that equal Pillow's to the bit (its Geometry.c): RandAugment was tuned on
 * Pillow's pixels.
 *
 * Unlike resizing, they do not filter what shrinks, truncate instead of rounding, and their cubic
 * has a = -1.
 */

import type { Image } from "./resize.ts";

/** Where a pixel of the result comes from: x' = a·x + b·y + c, y' = d·x + e·y + f. */
export type Affine = readonly [a: number, b: number, c: number, d: number, e: number, f: number];

/** How an image is read between its pixels, and what lies around it. */
export interface Sampling {
  readonly interpolation: "nearest" | "bilinear" | "bicubic";
  /** Colour beyond the edge, bytes `[C]`. */
  readonly fill: readonly number[];
}

/** Writes the pixel at a point of the source, which lies in the image, to `result[to …]`. */
type Sampler = (image: Image, x: number, y: number, result: Uint8ClampedArray, to: number) => void;

const SAMPLERS: Record<Sampling["interpolation"], Sampler> = { nearest, bilinear, bicubic };

/**
 * Maps an image onto one of its own size: Pillow's `image.transform(image.size, AFFINE, matrix)`.
 *
 * Coordinates are those of pixel centres, half a pixel from the corner. A pixel whose source lies
 * outside the image gets the fill; within, pixels beyond the edge repeat it.
 *
 * @param image Image `[H, W, C]`.
 * @returns A new image `[H, W, C]`.
 * @throws {RangeError} If the fill has another number of channels.
 */
export function affine(image: Image, matrix: Affine, { interpolation, fill }: Sampling): Image {
  const { width, height, channels } = image;
  if (fill.length !== channels) {
    throw new RangeError(`Cannot map ${channels} channels: the fill has ${fill.length}`);
  }
  const [a, b, c, d, e, f] = interpolation === "nearest" ? fixedPoint(matrix) : matrix;
  const sample = SAMPLERS[interpolation];
  const result = new Uint8ClampedArray(image.pixels.length);
  let to = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++, to += channels) {
      const x = a * (column + 0.5) + b * (row + 0.5) + c;
      const y = d * (column + 0.5) + e * (row + 0.5) + f;
      if (x >= 0 && x < width && y >= 0 && y < height) sample(image, x, y, result, to);
      else {for (let channel = 0; channel < channels; channel++) {
          result[to + channel] = fill[channel];
        }}
    }
  }
  return { width, height, channels, pixels: new Uint8Array(result.buffer) };
}

/**
 * Turns an image counterclockwise about its centre: Pillow's `image.rotate(degrees)`.
 *
 * @param image Image `[H, W, C]`.
 * @returns A new image `[H, W, C]`.
 * @throws {RangeError} As {@linkcode affine}.
 */
export function rotate(image: Image, degrees: number, sampling: Sampling): Image {
  const turn = degrees % 360;
  const angle = -(turn < 0 ? turn + 360 : turn) * (Math.PI / 180);
  const cos = decimals(Math.cos(angle));
  const sin = decimals(Math.sin(angle));
  const x = image.width / 2;
  const y = image.height / 2;
  const matrix = [cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y] as const;
  return affine(image, matrix, sampling);
}

/** Rounds to 15 decimals, as Pillow does so that right angles are exact. */
function decimals(value: number): number {
  return Number(value.toFixed(15));
}

/** The matrix by which Pillow finds nearest pixels, in steps of 2^-16 from the first centre. */
function fixedPoint([a, b, c, d, e, f]: Affine): Affine {
  const fix = (value: number) => Math.floor(value * 65536 + 0.5) / 65536;
  const offset = (p: number, q: number, r: number) =>
    fix(r + p * 0.5 + q * 0.5) - (fix(p) + fix(q)) / 2;
  return [fix(a), fix(b), offset(a, b, c), fix(d), fix(e), offset(d, e, f)];
}

function nearest(image: Image, x: number, y: number, result: Uint8ClampedArray, to: number): void {
  const { pixels, width, channels } = image;
  const from = (Math.floor(y) * width + Math.floor(x)) * channels;
  for (let c = 0; c < channels; c++) result[to + c] = pixels[from + c];
}

function bilinear(image: Image, x: number, y: number, result: Uint8ClampedArray, to: number): void {
  const { pixels, width, height, channels } = image;
  const left = Math.floor(x - 0.5);
  const top = Math.floor(y - 0.5);
  const u = x - 0.5 - left;
  const v = y - 0.5 - top;
  const x0 = clamp(left, width) * channels;
  const x1 = clamp(left + 1, width) * channels;
  const y0 = clamp(top, height) * width * channels;
  const y1 = clamp(top + 1, height) * width * channels;
  for (let c = 0; c < channels; c++) {
    const above = linear(pixels[y0 + x0 + c], pixels[y0 + x1 + c], u);
    const below = linear(pixels[y1 + x0 + c], pixels[y1 + x1 + c], u);
    result[to + c] = Math.floor(linear(above, below, v));
  }
}

function bicubic(image: Image, x: number, y: number, result: Uint8ClampedArray, to: number): void {
  const { pixels, width, height, channels } = image;
  const left = Math.floor(x - 0.5);
  const top = Math.floor(y - 0.5);
  const u = x - 0.5 - left;
  const v = y - 0.5 - top;
  const x0 = clamp(left - 1, width) * channels;
  const x1 = clamp(left, width) * channels;
  const x2 = clamp(left + 1, width) * channels;
  const x3 = clamp(left + 2, width) * channels;
  const y0 = clamp(top - 1, height) * width * channels;
  const y1 = clamp(top, height) * width * channels;
  const y2 = clamp(top + 1, height) * width * channels;
  const y3 = clamp(top + 2, height) * width * channels;
  for (let c = 0; c < channels; c++) {
    const row = (y: number) =>
      cubic(pixels[y + x0 + c], pixels[y + x1 + c], pixels[y + x2 + c], pixels[y + x3 + c], u);
    result[to + c] = Math.floor(cubic(row(y0), row(y1), row(y2), row(y3), v)); // stored clamped
  }
}

function clamp(index: number, size: number): number {
  return index < 0 ? 0 : index < size ? index : size - 1;
}

function linear(p: number, q: number, t: number): number {
  return p + (q - p) * t;
}

/** Keys' cubic convolution with a = -1 between `q` and `r`, in Pillow's order of operations. */
function cubic(p: number, q: number, r: number, s: number, t: number): number {
  const linear = -p + r;
  const square = 2 * (p - q) + r - s;
  const cube = -p + q - r + s;
  return q + t * (linear + t * (square + t * cube));
}
