/** Boxes to test with: many overlap, some tie. */
import { key, uniform } from "../../../src/random.ts";

/** Boxes `[n, 4]` in an image of 100 × 100; every fifth is like the one before it. */
export function randomBoxes(seed: number, n: number): Float32Array<ArrayBuffer> {
  const draws = uniform(key(seed), 4 * n);
  const boxes = new Float32Array(4 * n);
  for (let i = 0; i < n; i++) {
    const [x, y, width, height] = draws.subarray(4 * i, 4 * i + 4).map((u) => u * 60);
    boxes.set([x, y, x + 4 + width / 2, y + 4 + height / 2], 4 * i);
    if (i % 5 === 4) boxes.copyWithin(4 * i, 4 * i - 4, 4 * i);
  }
  return boxes;
}

/** Box i as an array of float64. */
export function boxAt(boxes: Float32Array, i: number): number[] {
  return [...boxes.subarray(4 * i, 4 * i + 4)];
}

/** Intersection over union in float64. */
export function iouOf(a: readonly number[], b: readonly number[]): number {
  const width = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const height = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const area = ([x0, y0, x1, y1]: readonly number[]) => (x1 - x0) * (y1 - y0);
  const shared = width * height;
  return shared === 0 ? 0 : shared / (area(a) + area(b) - shared);
}
