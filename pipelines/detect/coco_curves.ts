/**
 * Precision over recall, as COCO's API has them.
 *
 * @module
 */
import { IGNORED, RIGHT } from "./coco_match.ts";

/** `numpy.linspace`, to the bit. */
function linspace(from: number, to: number, n: number): readonly number[] {
  const step = (to - from) / (n - 1);
  return Array.from({ length: n }, (_, i) => i === n - 1 ? to : i * step + from);
}

export const IOU_THRESHOLDS = linspace(0.5, 0.95, 10);
export const RECALL_THRESHOLDS = linspace(0, 1, 101);
/** Ends belong to both ranges. */
export const AREA_RANGES = {
  all: [0, 1e5 ** 2],
  small: [0, 32 ** 2],
  medium: [32 ** 2, 96 ** 2],
  large: [96 ** 2, 1e5 ** 2],
} as const;
/** Detections of a category that count on an image, those of highest score. */
export const MAX_DETECTIONS = [1, 10, 100] as const;

const [T, R] = [IOU_THRESHOLDS.length, RECALL_THRESHOLDS.length];
const [A, M] = [Object.keys(AREA_RANGES).length, MAX_DETECTIONS.length];

/** What is found; -1 for a category of which nothing counts. */
export interface CocoEvaluation {
  /** K. */
  readonly categories: number;
  /** `[T, R, K]`: at each threshold of overlap and recall, of all areas and 100 detections. */
  readonly precision: Float64Array;
  /** `[T, K, A]`: the mean of the same over recalls, of each range of areas. */
  readonly averagePrecision: Float64Array;
  /** `[T, K, A, M]`: the recall that all detections reach. */
  readonly recall: Float64Array;
}

/** An evaluation in which nothing counts so far. */
export function blankEvaluation(categories: number): CocoEvaluation {
  const blank = (length: number) => new Float64Array(length).fill(-1);
  return {
    categories,
    precision: blank(T * R * categories),
    averagePrecision: blank(T * categories * A),
    recall: blank(T * categories * A * M),
  };
}

/** Detections of one category that count, image by image, by falling score on each. */
export interface Matched {
  readonly scores: Float64Array;
  /** Place among those of its image. */
  readonly rank: Uint8Array;
  /** `[A, T, n]`. */
  readonly verdicts: Uint8Array;
  /** Annotations that count, by range of areas. */
  readonly positives: readonly number[];
}

/** Writes down precision and recall of category k. */
export function accumulate(
  { scores, rank, verdicts, positives }: Matched,
  k: number,
  { categories: K, precision, averagePrecision, recall }: CocoEvaluation,
): void {
  const n = scores.length;
  const order = Int32Array.from({ length: n }, (_, i) => i);
  order.sort((a, b) => scores[b] - scores[a] || a - b);
  const precisions = new Float64Array(n); // at each that is right
  for (let a = 0; a < A; a++) {
    if (positives[a] === 0) continue;
    for (let t = 0; t < T; t++) {
      const row = verdicts.subarray((a * T + t) * n, (a * T + t + 1) * n);
      const rightOf = new Array<number>(M).fill(0);
      let [right, seen] = [0, 0];
      for (const i of order) {
        if (row[i] === IGNORED) continue;
        seen++;
        if (row[i] !== RIGHT) continue;
        right++;
        precisions[right - 1] = right / (seen + Number.EPSILON); // numpy.spacing(1)
        for (let m = 0; m < M; m++) if (rank[i] < MAX_DETECTIONS[m]) rightOf[m]++;
      }
      for (let m = 0; m < M; m++) {
        recall[((t * K + k) * A + a) * M + m] = rightOf[m] / positives[a];
      }
      // The highest precision at a recall or beyond; of the first that reaches the recall.
      for (let i = right - 2; i >= 0; i--) {
        precisions[i] = Math.max(precisions[i], precisions[i + 1]);
      }
      let sum = 0;
      for (let [r, i] = [0, 0]; r < R; r++) {
        while (i < right && (i + 1) / positives[a] < RECALL_THRESHOLDS[r]) i++;
        const value = i < right ? precisions[i] : 0;
        sum += value;
        if (a === 0) precision[(t * R + r) * K + k] = value;
      }
      averagePrecision[(t * K + k) * A + a] = sum / R;
    }
  }
}
