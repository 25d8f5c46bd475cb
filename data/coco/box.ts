/**
 * Boxes of COCO, and how far they overlap.
 *
 * @module
 */

/** Left and upper edge, and extent, in pixels. */
export type Box = readonly [x: number, y: number, width: number, height: number];

/**
 * Intersection over union of two boxes `[x, y, width, height]`, as `bbIou` of COCO's API has it.
 *
 * @param a Boxes `[…, 4]`, of which the one at index `i` counts: what was detected.
 * @param b The same at `j`: the truth.
 * @param isCrowd Whether `b` is a region of many: `a` then need only lie in it, so that its own area
 * stands for the union.
 * @returns 0 where they do not overlap, as where one has no area.
 */
export function boxIou(
  a: ArrayLike<number>,
  i: number,
  b: ArrayLike<number>,
  j: number,
  isCrowd: boolean,
): number {
  i *= 4;
  j *= 4;
  const width = Math.min(a[i] + a[i + 2], b[j] + b[j + 2]) - Math.max(a[i], b[j]);
  if (width <= 0) return 0;
  const height = Math.min(a[i + 1] + a[i + 3], b[j + 1] + b[j + 3]) - Math.max(a[i + 1], b[j + 1]);
  if (height <= 0) return 0;
  const both = width * height;
  const area = a[i + 2] * a[i + 3];
  return both / (isCrowd ? area : area + b[j + 2] * b[j + 3] - both);
}
