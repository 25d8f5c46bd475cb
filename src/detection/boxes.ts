/**
 * Boxes `[x0, y0, x1, y1]`, one after the other in a `Float32Array`, and what two of them have in
 * common. The arithmetic is that of detectron2 in float32, step by step: where values tie, the same
 * boxes win.
 *
 * @module
 */

const { fround, max, min } = Math;

/** Height and width. */
export type Sides = readonly [height: number, width: number];

/** Area of each box `[n, 4]`; negative where just one side is. */
export function boxAreas(boxes: Float32Array): Float32Array<ArrayBuffer> {
  const areas = new Float32Array(boxes.length / 4);
  for (let i = 0, at = 0; i < areas.length; i++, at += 4) {
    areas[i] = fround(boxes[at + 2] - boxes[at]) * fround(boxes[at + 3] - boxes[at + 1]);
  }
  return areas;
}

/** The part of each box that lies within an image. */
export function clipBoxes(boxes: Float32Array, [height, width]: Sides): Float32Array<ArrayBuffer> {
  return new Float32Array(boxes).map((x, i) => min(max(x, 0), i % 2 === 0 ? width : height));
}

/** Numbers of the boxes whose sides are both longer than `least`. */
export function nonEmptyBoxes(boxes: Float32Array, least = 0): Uint32Array<ArrayBuffer> {
  const bound = fround(least);
  const kept: number[] = [];
  for (let i = 0, at = 0; at < boxes.length; i++, at += 4) {
    const width = fround(boxes[at + 2] - boxes[at]);
    if (width > bound && fround(boxes[at + 3] - boxes[at + 1]) > bound) kept.push(i);
  }
  return Uint32Array.from(kept);
}

/**
 * Rows of `[n, size]` by their numbers, of boxes unless a size is given.
 *
 * @returns `[rows.length, size]`.
 */
export function takeRows(
  values: Float32Array,
  rows: ArrayLike<number>,
  size = 4,
): Float32Array<ArrayBuffer> {
  const taken = new Float32Array(rows.length * size);
  for (let i = 0; i < rows.length; i++) {
    for (let j = 0; j < size; j++) taken[i * size + j] = values[rows[i] * size + j];
  }
  return taken;
}

/** Lists one after the other. */
export function joinRows(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const joined = new Float32Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Area that box i of `a` and box j of `b` share. */
export function intersection(a: Float32Array, i: number, b: Float32Array, j: number): number {
  const [p, q] = [4 * i, 4 * j];
  const width = fround(min(a[p + 2], b[q + 2]) - max(a[p], b[q]));
  if (width <= 0) return 0;
  const height = fround(min(a[p + 3], b[q + 3]) - max(a[p + 1], b[q + 1]));
  return height <= 0 ? 0 : fround(width * height);
}

/** Intersection over union, of the intersection and both areas. */
export function overlapOf(shared: number, area: number, otherArea: number): number {
  return fround(shared / fround(fround(area + otherArea) - shared));
}

/**
 * Intersections over unions of all pairs.
 *
 * @param a `[n, 4]`.
 * @param b `[m, 4]`.
 * @returns `[n, m]`, 0 where boxes share nothing.
 */
export function pairwiseIou(a: Float32Array, b: Float32Array): Float32Array<ArrayBuffer> {
  const [areas, otherAreas] = [boxAreas(a), boxAreas(b)];
  const result = new Float32Array(areas.length * otherAreas.length);
  for (let i = 0; i < areas.length; i++) {
    for (let j = 0; j < otherAreas.length; j++) {
      const shared = intersection(a, i, b, j);
      if (shared > 0) {
        result[i * otherAreas.length + j] = overlapOf(shared, areas[i], otherAreas[j]);
      }
    }
  }
  return result;
}
