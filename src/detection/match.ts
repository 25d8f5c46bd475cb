/**
 * Which true box each of many boxes stands for, as detectron2's `Matcher`.
 *
 * @module
 */
import { boxAreas, intersection, overlapOf } from "./boxes.ts";

const { fround } = Math;

/** What becomes of a box whose best overlap is so large. */
export interface MatchRule {
  /** Ascending; an overlap that equals one is above it. */
  readonly thresholds: readonly number[];
  /** Between the thresholds, one more than these: 1 a thing, 0 background, −1 neither. */
  readonly labels: readonly number[];
  /** Whether the boxes that overlap a true one most are things, however little it is. */
  readonly lowQuality: boolean;
}

/** Of anchors, and of proposals. */
export const ANCHOR_MATCH: MatchRule = {
  ...{ thresholds: [0.3, 0.7], labels: [0, -1, 1], lowQuality: true },
};
export const PROPOSAL_MATCH: MatchRule = {
  ...{ thresholds: [0.5], labels: [0, 1], lowQuality: false },
};

/** What each box is matched with. */
export interface Matches {
  /** The true box that it overlaps most, the first of equals; 0 also where there is none. */
  readonly index: Uint32Array<ArrayBuffer>;
  readonly label: Int8Array<ArrayBuffer>;
}

/**
 * Matches boxes with true ones. Where true boxes overlap none at all and low quality is allowed, every
 * box is a thing, as in detectron2.
 *
 * @param truth `[m, 4]`.
 * @param boxes `[n, 4]`.
 */
export function matchBoxes(
  truth: Float32Array,
  boxes: Float32Array,
  { thresholds, labels, lowQuality }: MatchRule,
): Matches {
  const areas = boxAreas(boxes);
  const trueAreas = boxAreas(truth);
  const best = new Float32Array(areas.length);
  const index = new Uint32Array(areas.length);
  const chosen = new Set<number>();
  for (let i = 0; i < trueAreas.length; i++) {
    let [most, nearest]: [number, number[]] = [0, []];
    const [left, top, right, bottom] = truth.subarray(4 * i, 4 * i + 4);
    for (let j = 0, at = 0; j < areas.length; j++, at += 4) {
      // Of many boxes few overlap.
      if (boxes[at] >= right || boxes[at + 2] <= left) continue;
      if (boxes[at + 1] >= bottom || boxes[at + 3] <= top) continue;
      const shared = intersection(truth, i, boxes, j);
      if (!(shared > 0)) continue;
      const overlap = overlapOf(shared, trueAreas[i], areas[j]);
      if (overlap > best[j]) [best[j], index[j]] = [overlap, i];
      if (overlap > most) [most, nearest] = [overlap, [j]];
      else if (overlap === most) nearest.push(j);
    }
    (most > 0 ? nearest : areas.keys()).forEach((j) => chosen.add(j));
  }
  const bounds = thresholds.map(fround);
  const label = new Int8Array(best.length).map((_, j) => {
    let above = 0;
    while (best[j] >= bounds[above]) above++;
    return labels[above];
  });
  if (trueAreas.length === 0) label.fill(labels[0]);
  else if (lowQuality) chosen.forEach((j) => label[j] = 1);
  return { index, label };
}
