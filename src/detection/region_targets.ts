/**
 * Which proposals of an image the heads learn from, and what they should say, as detectron2's
 * `ROIHeads.label_and_sample_proposals`.
 *
 * @module
 */
import type { Key } from "../random.ts";
import { BOX_WEIGHTS, type DeltaWeights, encodeBoxes } from "./box_deltas.ts";
import { takeRows } from "./boxes.ts";
import { matchBoxes, type MatchRule, PROPOSAL_MATCH } from "./match.ts";
import { sampleLabels, type SampleRule } from "./sample.ts";

/** Proposals of an image that count, a quarter of them things if there are so many. */
export const REGION_SAMPLE: SampleRule = { count: 512, positive: 0.25 };

/** True things of an image. */
export interface Truth {
  /** `[m, 4]`. */
  readonly boxes: Float32Array;
  /** `[m]`, below K. */
  readonly classes: ArrayLike<number>;
}

/** Sampled proposals: things, then background. */
export interface RegionTargets {
  /** `[n, 4]`. */
  readonly boxes: Float32Array<ArrayBuffer>;
  /** K for background, `[n]`. */
  readonly classes: Uint32Array<ArrayBuffer>;
  /** Where the box of a thing should go, zeros for background, `[n, 4]`. */
  readonly deltas: Float32Array<ArrayBuffer>;
  /** How many are things; they come first. */
  readonly things: number;
  /** The true thing of each of these, `[things]`. */
  readonly index: Uint32Array<ArrayBuffer>;
}

/** How proposals are sampled. */
export interface RegionRule {
  /** Number of classes, K. */
  readonly classes: number;
  readonly sample?: SampleRule;
  readonly match?: MatchRule;
  readonly weights?: DeltaWeights;
}

/**
 * Matches proposals, to which the true boxes are added, with true boxes and draws those that count.
 *
 * @param proposals `[n, 4]`.
 */
export function regionTargets(
  proposals: Float32Array,
  truth: Truth,
  key: Key,
  { classes: K, sample = REGION_SAMPLE, match = PROPOSAL_MATCH, weights = BOX_WEIGHTS }: RegionRule,
): RegionTargets {
  const boxes = new Float32Array(proposals.length + truth.boxes.length);
  boxes.set(proposals);
  boxes.set(truth.boxes, proposals.length);
  const { index, label } = matchBoxes(truth.boxes, boxes, match);
  const { positive, negative } = sampleLabels(label, key, sample);
  const rows = [...positive, ...negative];
  const sampled = takeRows(boxes, rows);
  const matched = positive.map((i) => index[i]);
  const things = positive.length;
  const deltas = new Float32Array(sampled.length);
  deltas.set(
    encodeBoxes(sampled.subarray(0, 4 * things), takeRows(truth.boxes, matched), weights),
  );
  return {
    boxes: sampled,
    classes: Uint32Array.from(rows, (_, i) => i < things ? truth.classes[matched[i]] : K),
    ...{ deltas, things, index: matched },
  };
}
