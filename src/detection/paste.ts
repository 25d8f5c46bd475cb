/**
 * Masks of boxes put where the boxes are, as detectron2's `paste_masks_in_image`: bilinear between the
 * cells of a mask, which is zero beyond its border.
 *
 * @module
 */
import type { Sides } from "./boxes.ts";
import type { Box } from "./mask_targets.ts";

const { fround } = Math;

/**
 * The pixels of an image that a mask covers.
 *
 * @param mask Probabilities `[size, size]`.
 * @param threshold From where on a pixel belongs to the thing.
 * @returns 0 or 1, `[height, width]`.
 */
export function pasteMask(
  mask: Float32Array,
  box: Box,
  image: Sides,
  threshold = 0.5,
): Uint8Array<ArrayBuffer> {
  return paste(mask, box, image, (value) => value >= fround(threshold) ? 1 : 0);
}

/** The same, with probabilities in 255 steps instead of 0 and 1. */
export function pasteSoftMask(mask: Float32Array, box: Box, image: Sides): Uint8Array<ArrayBuffer> {
  return paste(mask, box, image, (value) => fround(value * 255));
}

function paste(
  mask: Float32Array,
  box: Box,
  [height, width]: Sides,
  valueOf: (probability: number) => number,
): Uint8Array<ArrayBuffer> {
  const size = Math.sqrt(mask.length);
  const pixels = new Uint8Array(height * width);
  const across = placesOf(box[0], box[2], size, width);
  // Zeros around the mask: of every four cells around a pixel, those beyond are there.
  const side = size + 2;
  const padded = new Float32Array(side * side);
  for (let row = 0; row < size; row++) {
    padded.set(mask.subarray(row * size, row * size + size), (row + 1) * side + 1);
  }
  for (const { pixel: y, cell: row, beyond: lower } of placesOf(box[1], box[3], size, height)) {
    const upper = fround(1 - lower);
    for (const { pixel: x, cell: column, beyond: right } of across) {
      const left = fround(1 - right);
      const at = (row + 1) * side + column + 1;
      // In the order of PyTorch's grid_sample.
      let total = fround(padded[at] * fround(left * upper));
      total = fround(total + fround(padded[at + 1] * fround(right * upper)));
      total = fround(total + fround(padded[at + side] * fround(left * lower)));
      total = fround(total + fround(padded[at + side + 1] * fround(right * lower)));
      pixels[y * width + x] = valueOf(total);
    }
  }
  return pixels;
}

/** A pixel on an axis of a mask: the cell before it, from −1, and how far it is beyond that. */
interface Place {
  readonly pixel: number;
  readonly cell: number;
  readonly beyond: number;
}

/** Pixels of an axis that have a cell of a mask before or after them. */
function placesOf(from: number, to: number, size: number, pixels: number): Place[] {
  const first = Math.max(Math.floor(from) - 1, 0);
  const last = Math.min(Math.ceil(to) + 1, pixels);
  const places: Place[] = [];
  for (let pixel = first; pixel < last; pixel++) {
    const share = fround(fround(pixel + 0.5 - from) / fround(to - from));
    const unit = fround(fround(share * 2) - 1);
    const place = fround(fround(fround(unit + 1) * (size / 2)) - 0.5);
    const cell = Math.floor(place);
    if (cell >= -1 && cell < size) places.push({ pixel, cell, beyond: fround(place - cell) });
  }
  return places;
}
