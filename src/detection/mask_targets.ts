/**
 * Masks of things, cut out by boxes and resized, to learn from: of bitmaps and of polygons, as
 * detectron2's `crop_and_resize`.
 *
 * @module
 */
import type { Tap, Taps } from "../taps.ts";
import type { Sides } from "./boxes.ts";

const { fround } = Math;

/** A box `[x0, y0, x1, y1]`. */
export type Box = ArrayLike<number>;

/**
 * The part of a bitmap within a box: 1 where half of a cell or more is covered, by RoIAlign.
 *
 * @param mask 0 or 1, `[height, width]`.
 * @param size Cells along a side of the result.
 * @returns `[size, size]`.
 */
export function bitmapTarget(
  mask: Uint8Array,
  [height, width]: Sides,
  box: Box,
  size: number,
): Uint8Array<ArrayBuffer> {
  const across = binTaps(box[0], box[2], size, width);
  const target = new Uint8Array(size * size);
  binTaps(box[1], box[3], size, height).forEach((rows, i) => {
    const column = new Map<number, number>();
    const sumOf = (x: number) => {
      let total = column.get(x);
      if (total === undefined) {
        total = rows.reduce((sum, [y, weight]) => sum + weight * mask[y * width + x], 0);
        column.set(x, total);
      }
      return total;
    };
    across.forEach((taps, j) => {
      const share = taps.reduce((sum, [x, weight]) => sum + weight * sumOf(x), 0);
      target[i * size + j] = share >= 0.5 ? 1 : 0;
    });
  });
  return target;
}

/** Cells of an axis that RoIAlign averages for each bin of a box, with as many samples as a bin has cells. */
function binTaps(from: number, to: number, bins: number, cells: number): Taps {
  const start = fround(from - 0.5);
  const length = fround(fround(to - 0.5) - start);
  const bin = fround(length / bins);
  const samples = Math.max(Math.ceil(bin), 0);
  return Array.from({ length: bins }, (_, i) => {
    const taps = new Map<number, number>();
    for (let k = 0; k < samples; k++) {
      const place = fround(
        fround(start + fround(i * bin)) + fround(fround((k + 0.5) * bin) / samples),
      );
      if (place < -1 || place > cells) continue;
      const inside = Math.min(Math.max(place, 0), cells - 1);
      const first = Math.floor(inside);
      const share = inside - first;
      taps.set(first, (taps.get(first) ?? 0) + (1 - share) / samples);
      if (share > 0) taps.set(first + 1, (taps.get(first + 1) ?? 0) + share / samples);
    }
    return [...taps] satisfies Tap[];
  });
}

/**
 * Draws a polygon `[x, y, x, y …]`: lengths of runs of 0, 1, 0 … down the columns, the first perhaps 0.
 */
export type Rasterise = (
  polygon: readonly number[],
  height: number,
  width: number,
) => ArrayLike<number>;

/**
 * The part of a thing of several polygons within a box.
 *
 * @param size Cells along a side of the result.
 * @returns 1 where any of the polygons is, `[size, size]`.
 */
export function polygonTarget(
  polygons: readonly (readonly number[])[],
  box: Box,
  size: number,
  rasterise: Rasterise,
): Uint8Array<ArrayBuffer> {
  const scales = [0, 1].map((axis) => size / Math.max(box[2 + axis] - box[axis], 0.1));
  const target = new Uint8Array(size * size);
  for (const polygon of polygons) {
    const inside = polygon.map((value, i) => (value - box[i % 2]) * scales[i % 2]);
    const runs = rasterise(inside, size, size);
    for (let run = 0, place = 0; run < runs.length; run++) {
      for (const end = place + runs[run]; place < end; place++) {
        if (run % 2 === 1) target[place % size * size + Math.floor(place / size)] = 1;
      }
    }
  }
  return target;
}
