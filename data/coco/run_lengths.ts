/**
 * Masks as lengths of runs, and what can be computed of them without their pixels.
 *
 * @module
 */
import type { Box } from "./box.ts";

/** A mask as lengths of runs of 0, 1, 0 … down the columns, the first perhaps empty. */
export interface RunLengths {
  readonly counts: readonly number[];
  readonly size: readonly [height: number, width: number];
}

/**
 * Encodes a mask, uncompressed.
 *
 * @param mask 0 or 1 `[H, W]`.
 */
export function runLengths(mask: Uint8Array, height: number, width: number): RunLengths {
  const counts = [0];
  let last = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const value = mask[y * width + x];
      if (value !== last) counts.push(0);
      counts[counts.length - 1]++;
      last = value;
    }
  }
  return { counts, size: [height, width] };
}

/** Decodes runs. @returns A mask `[H, W]` of 0 and 1. */
export function bitmapOf({ counts, size: [height, width] }: RunLengths): Uint8Array {
  const mask = new Uint8Array(height * width);
  let place = 0;
  for (const [i, count] of counts.entries()) {
    const end = place + count;
    if (i % 2 === 0) place = end;
    for (; place < end; place++) {
      mask[place % height * width + Math.floor(place / height)] = 1;
    }
  }
  return mask;
}

/** Pixels of a mask. */
export function areaOf(counts: ArrayLike<number>, from = 0, to = counts.length): number {
  let area = 0;
  for (let i = from + 1; i < to; i += 2) area += counts[i];
  return area;
}

/** The smallest box around a mask; all 0 for an empty one. */
export function boxOf(
  counts: ArrayLike<number>,
  height: number,
  from = 0,
  to = counts.length,
): Box {
  let [left, top, right, bottom] = [Infinity, height, -1, -1];
  let end = 0;
  for (let i = from; i < to; i++) {
    const start = end;
    end += counts[i];
    if ((i - from) % 2 === 0 || counts[i] === 0) continue;
    const [first, last] = [Math.floor(start / height), Math.floor((end - 1) / height)];
    left = Math.min(left, first);
    right = last;
    // A run over the end of a column has its lowest pixel, and the highest of the next.
    top = first < last ? 0 : Math.min(top, start - first * height);
    bottom = first < last ? height - 1 : Math.max(bottom, end - 1 - last * height);
  }
  return right < 0 ? [0, 0, 0, 0] : [left, top, right - left + 1, bottom - top + 1];
}

/**
 * The union of masks of one size.
 *
 * @returns Counts without empty runs, but for the first.
 * @throws {RangeError} If there is none.
 */
export function unionOf(masks: readonly ArrayLike<number>[]): ArrayLike<number> {
  if (masks.length === 0) throw new RangeError("Cannot join masks: there are none");
  return masks.reduce((a, b) => union(a, b));
}

function union(a: ArrayLike<number>, b: ArrayLike<number>): number[] {
  const counts = [0];
  let [i, j, leftA, leftB] = [0, 0, a[0], b[0]];
  while (i < a.length && j < b.length) {
    const length = Math.min(leftA, leftB);
    const value = (i | j) & 1;
    if (length > 0) {
      if (value === counts.length % 2) counts.push(0);
      counts[counts.length - 1] += length;
    }
    if ((leftA -= length) === 0) leftA = a[++i];
    if ((leftB -= length) === 0) leftB = b[++j];
  }
  return counts;
}

/**
 * Pixels that two masks of one size share: those whose counts lie from `from` to before `to` of each
 * list.
 */
export function intersectionOf(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  aFrom = 0,
  aTo = a.length,
  bFrom = 0,
  bTo = b.length,
): number {
  let area = 0;
  let [i, j, endA, endB] = [aFrom, bFrom, a[aFrom], b[bFrom]];
  let place = 0; // up to here neither changes
  while (i < aTo && j < bTo) {
    const next = endA < endB ? endA : endB;
    if ((i - aFrom) & (j - bFrom) & 1) area += next - place;
    place = next;
    if (endA === place) endA += a[++i];
    if (endB === place) endB += b[++j];
  }
  return area;
}

/**
 * Intersection over union of two masks of one size, by their pixels.
 *
 * @param isCrowd Whether `b` is a region of many: `a`'s area then stands for the union.
 * @returns 0 where they share no pixel.
 */
export function maskIou(a: ArrayLike<number>, b: ArrayLike<number>, isCrowd: boolean): number {
  const both = intersectionOf(a, b);
  return overlap(both, areaOf(a), areaOf(b), isCrowd);
}

/** The same, of what is known of both. */
export function overlap(both: number, a: number, b: number, isCrowd: boolean): number {
  return both === 0 ? 0 : both / (isCrowd ? a : a + b - both);
}
