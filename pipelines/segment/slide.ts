/**
 * Scores of images that are larger than a model's: windows that overlap, and their mean. Maps are
 * `[H, W, K]`, row by row.
 *
 * @module
 */
import { linearTaps } from "../../src/taps.ts";

/** A map of K scores a pixel. */
export interface ScoreMap {
  readonly height: number;
  readonly width: number;
  /** `[height, width, K]`. */
  readonly scores: Float32Array;
}

/** Height and width in pixels. */
export type Sides = readonly [height: number, width: number];

/** First row and column of a window. */
export type Corner = readonly [top: number, left: number];

/**
 * Corners of windows that cover an image, row by row; the last of each row and column is shifted back
 * to end with the image (mmsegmentation's `slide_inference`).
 *
 * @param crop Sides of a window, no longer than the image's.
 * @param stride From one window to the next.
 */
export function windowCorners(image: Sides, crop: Sides, stride: Sides): Corner[] {
  const [rows, columns] = [0, 1].map((axis) => {
    const count = Math.ceil(Math.max(image[axis] - crop[axis], 0) / stride[axis]) + 1;
    return Array.from(
      { length: count },
      (_, i) => Math.max(0, Math.min(i * stride[axis], image[axis] - crop[axis])),
    );
  });
  return rows.flatMap((top) => columns.map((left): Corner => [top, left]));
}

/** Windows of these sides that overlap by a third, as published: 512 and 341. */
export function overlapping(crop: Sides): { readonly crop: Sides; readonly stride: Sides } {
  const [height, width] = crop.map((side) => Math.floor(2 * side / 3));
  return { crop, stride: [height, width] };
}

/**
 * Cuts a window out of pixels; beyond them there are zeros.
 *
 * @param pixels `[H, W, C]`.
 * @returns `[crop height, crop width, C]`.
 */
export function cutWindow(
  pixels: Float32Array,
  [height, width]: Sides,
  [top, left]: Corner,
  [cropHeight, cropWidth]: Sides,
): Float32Array<ArrayBuffer> {
  const C = pixels.length / (height * width);
  const window = new Float32Array(cropHeight * cropWidth * C);
  const right = Math.min(left + cropWidth, width);
  for (let row = top; row < Math.min(top + cropHeight, height); row++) {
    const line = pixels.subarray((row * width + left) * C, (row * width + right) * C);
    window.set(line, (row - top) * cropWidth * C);
  }
  return window;
}

/** Adds up the scores of windows, and gives their mean. */
export class WindowMean {
  readonly #sums: Float32Array;
  readonly #counts: Uint16Array;

  constructor(readonly sides: Sides, readonly classes: number) {
    const [height, width] = sides;
    this.#sums = new Float32Array(height * width * classes);
    this.#counts = new Uint16Array(height * width);
  }

  /** @param scores Of a window `[crop height, crop width, K]`; what lies beyond the image is left out. */
  add(scores: Float32Array, [top, left]: Corner, [cropHeight, cropWidth]: Sides): void {
    const [height, width] = this.sides;
    const K = this.classes;
    const right = Math.min(left + cropWidth, width);
    for (let row = top; row < Math.min(top + cropHeight, height); row++) {
      let from = (row - top) * cropWidth * K;
      let to = (row * width + left) * K;
      for (let column = left; column < right; column++) {
        this.#counts[row * width + column]++;
        for (let k = 0; k < K; k++) this.#sums[to++] += scores[from++];
      }
    }
  }

  /** @throws {RangeError} If a pixel is in no window. */
  result(): ScoreMap {
    const [height, width] = this.sides;
    const K = this.classes;
    const scores = this.#sums.map((sum, i) => sum / this.#counts[Math.floor(i / K)]);
    if (this.#counts.includes(0)) throw new RangeError("Cannot average: a pixel is in no window");
    return { height, width, scores };
  }

  /** In how many windows each pixel is, `[H, W]`. */
  get counts(): Uint16Array {
    return this.#counts;
  }
}

/** Bilinear interpolation, as `interpolate` of PyTorch with `align_corners=False`. */
export function resizeScores({ height, width, scores }: ScoreMap, [H, W]: Sides): ScoreMap {
  if (H === height && W === width) return { height, width, scores };
  const K = scores.length / (height * width);
  const [down, across] = [linearTaps(height, H), linearTaps(width, W)];
  const result = new Float32Array(H * W * K);
  for (let row = 0, to = 0; row < H; row++) {
    for (let column = 0; column < W; column++, to += K) {
      for (const [y, a] of down[row]) {
        for (const [x, b] of across[column]) {
          const from = (y * width + x) * K;
          for (let k = 0; k < K; k++) result[to + k] += a * b * scores[from + k];
        }
      }
    }
  }
  return { height: H, width: W, scores: result };
}

/** Softmax of every pixel's scores, in place. */
export function softmaxInPlace(scores: Float32Array, classes: number): Float32Array {
  for (let start = 0; start < scores.length; start += classes) {
    let top = -Infinity;
    for (let k = 0; k < classes; k++) top = Math.max(top, scores[start + k]);
    let total = 0;
    for (let k = 0; k < classes; k++) total += Math.exp(scores[start + k] - top);
    for (let k = 0; k < classes; k++) {
      scores[start + k] = Math.exp(scores[start + k] - top) / total;
    }
  }
  return scores;
}

/** The class of the highest score of every pixel, of equal ones the first. */
export function highest(scores: Float32Array, classes: number): Uint16Array<ArrayBuffer> {
  const result = new Uint16Array(scores.length / classes);
  for (let pixel = 0; pixel < result.length; pixel++) {
    let best = 0;
    for (let k = 1; k < classes; k++) {
      if (scores[pixel * classes + k] > scores[pixel * classes + best]) best = k;
    }
    result[pixel] = best;
  }
  return result;
}
