/**
 * Non-maximum suppression: of boxes that overlap, the one with the best score. The kept boxes are those
 * of torchvision on a CPU, and so is their order, which it leaves open for equal scores of many boxes.
 *
 * @module
 */
import { boxAreas, intersection, overlapOf, takeRows } from "./boxes.ts";

/** Boxes above which torchvision goes through the groups one by one. */
const SHIFTED = 1000;

/**
 * Keeps a box unless it overlaps a kept one of a better score by more than the threshold.
 *
 * @param boxes `[n, 4]`.
 * @param scores `[n]`; of equal ones the first is the better.
 * @returns Numbers of the kept boxes, best first.
 */
export function nms(
  boxes: Float32Array,
  scores: Float32Array,
  threshold: number,
): Uint32Array<ArrayBuffer> {
  const order = bestFirst(scores);
  const sorted = takeRows(boxes, order);
  const areas = boxAreas(sorted);
  const [x0, y0, x1, y1] = [0, 1, 2, 3].map((side) => areas.map((_, i) => sorted[4 * i + side]));
  const gone = new Uint8Array(order.length);
  const kept: number[] = [];
  for (let i = 0; i < order.length; i++) {
    if (gone[i]) continue;
    kept.push(order[i]);
    const [left, top, right, bottom, area] = [x0[i], y0[i], x1[i], y1[i], areas[i]];
    for (let j = i + 1; j < order.length; j++) {
      if (gone[j] || x0[j] >= right || x1[j] <= left || y0[j] >= bottom || y1[j] <= top) continue;
      const shared = intersection(sorted, i, sorted, j);
      if (shared > 0 && overlapOf(shared, area, areas[j]) > threshold) gone[j] = 1;
    }
  }
  return Uint32Array.from(kept);
}

/**
 * The same within each group, such as a class or a map of a pyramid.
 *
 * @param groups `[n]`, from 0.
 * @returns Numbers of the kept boxes of all groups, best first.
 */
export function batchedNms(
  boxes: Float32Array,
  scores: Float32Array,
  groups: ArrayLike<number>,
  threshold: number,
): Uint32Array<ArrayBuffer> {
  if (scores.length === 0) return new Uint32Array();
  // Few boxes are moved apart by groups, which rounds them: that decides overlaps near the threshold.
  if (scores.length <= SHIFTED) return nms(apart(boxes, groups), scores, threshold);
  const members = Map.groupBy(scores.keys(), (i) => groups[i]);
  const kept: number[] = [];
  for (const rows of members.values()) {
    const best = nms(takeRows(boxes, rows), takeRows(scores, rows, 1), threshold);
    kept.push(...best.map((i) => rows[i]));
  }
  kept.sort((i, j) => i - j);
  const order = bestFirst(takeRows(scores, kept, 1));
  return order.map((i) => kept[i]);
}

/** Boxes at places where those of different groups do not meet. */
function apart(boxes: Float32Array, groups: ArrayLike<number>): Float32Array {
  const { fround } = Math;
  const step = fround(boxes.reduce((a, b) => Math.max(a, b)) + 1);
  return boxes.map((x, i) => x + fround(groups[Math.floor(i / 4)] * step));
}

/** Numbers of scores from the best to the worst, equal ones in their order. */
export function bestFirst(scores: Float32Array): Uint32Array<ArrayBuffer> {
  const order = new Uint32Array(scores.length).map((_, i) => i);
  return order.sort((i, j) => scores[j] - scores[i] || i - j);
}
