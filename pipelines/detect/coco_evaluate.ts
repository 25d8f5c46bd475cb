/**
 * Evaluates detections as COCO's API does (pycocotools' COCOeval, of boxes or masks).
 *
 * Areas of annotations are those that are annotated, of boxes too; `ignore` fields are of no account,
 * `iscrowd` alone decides. An annotation with the id 0 can be matched, as any other; COCO's API takes
 * such a match for none.
 *
 * @module
 */
import type { Detections, GroundTruth, Things } from "../../data/coco/things.ts";
import {
  accumulate,
  AREA_RANGES,
  blankEvaluation,
  type CocoEvaluation,
  IOU_THRESHOLDS,
  type Matched,
  MAX_DETECTIONS,
} from "./coco_curves.ts";
import { matchDetections } from "./coco_match.ts";
import { boxOverlaps, maskOverlaps, type Overlaps } from "./coco_overlaps.ts";

const RANGES = Object.values(AREA_RANGES);
const [A, T] = [RANGES.length, IOU_THRESHOLDS.length];
const MOST = Math.max(...MAX_DETECTIONS);

/** What things are on, and of. */
export interface Scope {
  /** Heights of images, by the indices of things. */
  readonly heights: ArrayLike<number>;
  /** Number of categories. */
  readonly categories: number;
}

/**
 * Evaluates boxes or masks.
 *
 * @param kind `bbox`, where a detection's area is its box's, or `segm`, where it is its mask's.
 * @throws {RangeError} If masks are to be evaluated, and there are none.
 */
export function evaluateCoco(
  kind: "bbox" | "segm",
  truth: GroundTruth,
  found: Detections,
  { heights, categories: K }: Scope,
): CocoEvaluation {
  const overlaps = kind === "bbox"
    ? boxOverlaps(truth, found)
    : maskOverlaps(truth, found, heights);
  const { boxes, maskArea } = found;
  const areaOfFound = kind === "bbox"
    ? (d: number) => boxes[4 * d + 2] * boxes[4 * d + 3]
    : (d: number) => maskArea![d];
  const evaluation = blankEvaluation(K);
  const truths = group(truth, K, heights.length);
  const detections = group(found, K, heights.length);
  for (let k = 0; k < K; k++) {
    const [gs, ds] = [truths, detections].map(({ order, start }) =>
      order.subarray(start[k], start[k + 1])
    );
    const matched = matchCategory(truth, found, gs, ds, overlaps, areaOfFound);
    accumulate(matched, k, evaluation);
  }
  return evaluation;
}

/** Things by category, then by image, then as they come. */
function group(
  { length, image, category }: Things,
  categories: number,
  images: number,
): { readonly order: Int32Array; readonly start: Int32Array } {
  const unsorted = Int32Array.from({ length }, (_, i) => i);
  const byImage = countingSort(unsorted, image, images).order;
  return countingSort(byImage, category, categories);
}

/** Sorts indices by a key below `n`, keeping the order of equals. `start[k]`: the first of key k. */
function countingSort(indices: Int32Array, keys: Int32Array, n: number) {
  const start = new Int32Array(n + 1);
  for (const i of indices) start[keys[i] + 1]++;
  for (let k = 0; k < n; k++) start[k + 1] += start[k];
  const next = start.slice();
  const order = new Int32Array(indices.length);
  for (const i of indices) order[next[keys[i]]++] = i;
  return { order, start };
}

/** Detections by falling score, and annotations, of one category on one image. */
interface Pair {
  readonly ds: Int32Array;
  readonly gs: Int32Array;
}

/** Images on which something was found. */
function pairs(
  truth: GroundTruth,
  { image, score }: Detections,
  truths: Int32Array,
  detections: Int32Array,
): Pair[] {
  const pairs: Pair[] = [];
  for (let [d, g] = [0, 0]; d < detections.length;) {
    const current = image[detections[d]];
    const firstD = d;
    while (d < detections.length && image[detections[d]] === current) d++;
    while (g < truths.length && truth.image[truths[g]] < current) g++;
    const firstG = g;
    while (g < truths.length && truth.image[truths[g]] === current) g++;
    const ds = detections.subarray(firstD, d);
    if (ds.length > 1) ds.sort((a, b) => score[b] - score[a] || a - b);
    pairs.push({ ds: ds.subarray(0, MOST), gs: truths.subarray(firstG, g) });
  }
  return pairs;
}

/** Matches image by image, at each threshold and range of areas. */
function matchCategory(
  truth: GroundTruth,
  found: Detections,
  truths: Int32Array,
  detections: Int32Array,
  overlaps: Overlaps,
  areaOfFound: (d: number) => number,
): Matched {
  const images = pairs(truth, found, truths, detections);
  const n = images.reduce((sum, { ds }) => sum + ds.length, 0);
  const scores = new Float64Array(n);
  const rank = new Uint8Array(n);
  const verdicts = new Uint8Array(A * T * n);
  const isIgnored = (g: number, [low, high]: readonly number[]) =>
    truth.isCrowd[g] === 1 || truth.area[g] < low || truth.area[g] > high;
  let at = 0;
  for (const { ds, gs } of images) {
    for (let i = 0; i < ds.length; i++) [scores[at + i], rank[at + i]] = [found.score[ds[i]], i];
    const areas = Array.from(ds, areaOfFound);
    const isCrowd = Array.from(gs, (g) => truth.isCrowd[g] === 1);
    const ious = gs.length > 0 ? overlaps(ds, gs) : new Float64Array();
    for (const [a, range] of RANGES.entries()) {
      const group = {
        ...{ ious, isCrowd, detections: ds.length },
        isIgnored: Array.from(gs, (g) => isIgnored(g, range)),
        isOutside: areas.map((area) => area < range[0] || area > range[1]),
      };
      for (const [t, threshold] of IOU_THRESHOLDS.entries()) {
        matchDetections(group, threshold, verdicts, (a * T + t) * n + at);
      }
    }
    at += ds.length;
  }
  const positives = RANGES.map((range) =>
    truths.reduce((sum, g) => sum + (isIgnored(g, range) ? 0 : 1), 0)
  );
  return { scores, rank, verdicts, positives };
}
