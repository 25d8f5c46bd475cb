/**
 * What the anchors of an image should say, as detectron2's `RPN.label_and_sample_anchors`.
 *
 * @module
 */
import type { Key } from "../random.ts";
import { encodeBoxes, PROPOSAL_WEIGHTS } from "./box_deltas.ts";
import { takeRows } from "./boxes.ts";
import { ANCHOR_MATCH, matchBoxes, type MatchRule } from "./match.ts";
import { sampleLabels, type SampleRule } from "./sample.ts";

/** Anchors of an image that count in the loss, half of them things if there are so many. */
export const ANCHOR_SAMPLE: SampleRule = { count: 256, positive: 0.5 };

/** What the loss of region proposals takes of an image's anchors. */
export interface AnchorTargets {
  /** 1 for a thing, `[A]`. */
  readonly labels: Float32Array<ArrayBuffer>;
  /** 1 where the anchor counts, 0 elsewhere, `[A]`. */
  readonly weights: Float32Array<ArrayBuffer>;
  /** Where the anchor of a thing should go, zeros elsewhere, `[A, 4]`. */
  readonly deltas: Float32Array<ArrayBuffer>;
}

/**
 * Matches anchors with true boxes and draws those that count.
 *
 * @param anchors Of all maps, `[A, 4]`.
 * @param truth `[m, 4]`, perhaps none.
 */
export function anchorTargets(
  anchors: Float32Array,
  truth: Float32Array,
  key: Key,
  sample: SampleRule = ANCHOR_SAMPLE,
  rule: MatchRule = ANCHOR_MATCH,
): AnchorTargets {
  const { index, label } = matchBoxes(truth, anchors, rule);
  const { positive, negative } = sampleLabels(label, key, sample);
  const sampled = new Int8Array(label.length).fill(-1);
  negative.forEach((i) => sampled[i] = 0);
  positive.forEach((i) => sampled[i] = 1);
  return targetsOfLabels(anchors, truth, sampled, index);
}

/**
 * The same of anchors that are labelled already.
 *
 * @param labels 1 a thing, 0 background, −1 neither, `[A]`.
 * @param index The true box of each anchor, `[A]`.
 */
export function targetsOfLabels(
  anchors: Float32Array,
  truth: Float32Array,
  labels: ArrayLike<number>,
  index: ArrayLike<number>,
): AnchorTargets {
  const things: number[] = [];
  const deltas = new Float32Array(anchors.length);
  const isThing = new Float32Array(labels.length);
  const weights = new Float32Array(labels.length);
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] === 1) things.push(i);
    isThing[i] = labels[i] === 1 ? 1 : 0;
    weights[i] = labels[i] >= 0 ? 1 : 0;
  }
  const encoded = encodeBoxes(
    takeRows(anchors, things),
    takeRows(truth, things.map((i) => index[i])),
    PROPOSAL_WEIGHTS,
  );
  things.forEach((i, row) => deltas.set(encoded.subarray(4 * row, 4 * row + 4), 4 * i));
  return { labels: isThing, weights, deltas };
}
