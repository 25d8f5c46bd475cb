/**
 * Resampling as OpenCV's, which mmsegmentation's models were trained and are evaluated with:
 * bilinear that does not widen when an image shrinks, in fixed point, and nearest from the corner.
 */

import { roundHalfEven, type Size } from "../augment.ts";
import type { Box, Image } from "../resize.ts";
import type { Mask } from "./mask.ts";

/** The largest that an image may be, by its longer and its shorter edge. */
export interface Scale {
  readonly long: number;
  readonly short: number;
}

/**
 * Size of the largest image of the same aspect within `ratio` times a scale, as mmcv's `imrescale`
 * finds it for mmsegmentation's `Resize`.
 *
 * @param scale The image's own edges if null.
 */
export function rescaledSize({ width, height }: Size, scale: Scale | null, ratio: number): Size {
  const [longer, shorter] = [Math.max(width, height), Math.min(width, height)];
  const { long, short } = scale ?? { long: longer, short: shorter };
  const factor = Math.min(Math.trunc(long * ratio) / longer, Math.trunc(short * ratio) / shorter);
  const scaled = (edge: number) => Math.max(1, Math.trunc(edge * factor + 0.5));
  return { width: scaled(width), height: scaled(height) };
}

/** A part of the result of a resize, which is all of it unless given. */
function wholeOf({ width, height }: Size): Box {
  return { x: 0, y: 0, width, height };
}

/**
 * Resizes a mask: `cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)`.
 *
 * @param mask Labels `[H, W]`.
 * @param box Part of the result to make.
 * @returns Labels `[box.height, box.width]`.
 */
export function resizeMask(mask: Mask, size: Size, box: Box = wholeOf(size)): Mask {
  const source = (length: number, wanted: number, from: number, count: number) => {
    const step = 1 / (wanted / length); // rounded twice, as there
    return Int32Array.from(
      { length: count },
      (_, i) => Math.min(Math.floor((from + i) * step), length - 1),
    );
  };
  const xs = source(mask.width, size.width, box.x, box.width);
  const labels = new Uint16Array(box.width * box.height);
  let to = 0;
  for (const y of source(mask.height, size.height, box.y, box.height)) {
    const row = y * mask.width;
    for (let i = 0; i < xs.length; i++) labels[to++] = mask.labels[row + xs[i]];
  }
  return { width: box.width, height: box.height, labels };
}

const ONE = 1 << 11; // a weight of 1

/** Between which two samples of a source each sample of a result lies, and their weights. */
interface Taps {
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly lowWeight: Int32Array;
  readonly highWeight: Int32Array;
}

/**
 * Resizes an image: `cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)`.
 *
 * @param image Image `[H, W, C]`.
 * @param box Part of the result to make; the rest costs nothing.
 * @returns Image `[box.height, box.width, C]`.
 */
export function resizeImage(image: Image, size: Size, box: Box = wholeOf(size)): Image {
  const { width, height, channels, pixels } = image;
  const columns = spread(taps(width, size.width, box.x, box.width), channels);
  const rows = taps(height, size.height, box.y, box.height);
  const stride = box.width * channels;
  const result = new Uint8Array(box.height * stride);
  let [above, below] = [new Int32Array(stride), new Int32Array(stride)];
  let [aboveRow, belowRow] = [-1, -1]; // which rows of the image these were made of
  for (let y = 0; y < box.height; y++) {
    const [low, high] = [rows.low[y], rows.high[y]];
    if (low === belowRow) [above, below, aboveRow, belowRow] = [below, above, belowRow, aboveRow];
    if (low !== aboveRow) resampleRow(pixels, low * width * channels, columns, above);
    aboveRow = low;
    if (high !== belowRow) resampleRow(pixels, high * width * channels, columns, below);
    belowRow = high;
    const [upper, lower] = [rows.lowWeight[y], rows.highWeight[y]];
    for (let i = 0, to = y * stride; i < stride; i++, to++) {
      // Bits are dropped where OpenCV drops them.
      const sum = (Math.imul(upper, above[i] >> 4) >> 16) + (Math.imul(lower, below[i] >> 4) >> 16);
      result[to] = (sum + 2) >> 2;
    }
  }
  return { width: box.width, height: box.height, channels, pixels: result };
}

function resampleRow(pixels: Uint8Array, start: number, taps: Taps, row: Int32Array): void {
  const { low, high, lowWeight, highWeight } = taps;
  for (let i = 0; i < row.length; i++) {
    row[i] = pixels[start + low[i]] * lowWeight[i] + pixels[start + high[i]] * highWeight[i];
  }
}

function taps(length: number, size: number, from: number, count: number): Taps {
  const step = 1 / (size / length);
  const [low, high, lowWeight, highWeight] = [0, 1, 2, 3].map(() => new Int32Array(count));
  for (let i = 0; i < count; i++) {
    const place = Math.fround((from + i + 0.5) * step - 0.5);
    const before = Math.floor(place);
    const share = Math.fround(place - before);
    low[i] = Math.max(0, Math.min(before, length - 1));
    high[i] = Math.min(before + 1, length - 1);
    lowWeight[i] = roundHalfEven(Math.fround(1 - share) * ONE);
    highWeight[i] = roundHalfEven(share * ONE);
  }
  return { low, high, lowWeight, highWeight };
}

/** Taps of each channel of each sample. */
function spread(taps: Taps, channels: number): Taps {
  const repeat = (values: Int32Array, stride: number, step: number) =>
    Int32Array.from(
      { length: values.length * channels },
      (_, i) => values[Math.floor(i / channels)] * stride + i % channels * step,
    );
  return {
    low: repeat(taps.low, channels, 1),
    high: repeat(taps.high, channels, 1),
    lowWeight: repeat(taps.lowWeight, 1, 0),
    highWeight: repeat(taps.highWeight, 1, 0),
  };
}
