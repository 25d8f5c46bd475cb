/**
 * What the heads of Mask R-CNN learn by, as detectron2's `FastRCNNOutputLayers.losses` and
 * `mask_rcnn_loss`. Rows that weigh nothing have neither a loss nor a gradient.
 *
 * @module
 */
import { binaryCrossEntropy } from "../ops/binary_cross_entropy.ts";
import { labelCrossEntropy } from "../ops/cross_entropy.ts";
import { abs, mul, sigmoid, sub } from "../ops/map.ts";
import { pick } from "../ops/pick.ts";
import { mean, sum } from "../ops/reduce.ts";
import { reshape } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";
import type { BoxOutputs } from "./roi_heads.ts";

/** What the box head should say, see `boxBatch`. */
export type BoxTargetTensors = {
  /** u32, K for background, more for a row that is left over, `[R]`. */
  readonly classes: Tensor;
  /** Shares of the mean, `[R]`. */
  readonly weights: Tensor;
  /** `[R, 4]`. */
  readonly deltas: Tensor;
  /** The weights of things, 0 for others, `[R]`. */
  readonly thingWeights: Tensor;
};

export type BoxLoss = {
  readonly classification: Tensor;
  readonly localisation: Tensor;
};

/** Cross entropy of all rows, and L1 of the boxes of things: those of their class. */
export function boxLoss({ logits, deltas }: BoxOutputs, targets: BoxTargetTensors): BoxLoss {
  const { classes, weights, deltas: expected, thingWeights } = targets;
  const distance = abs(sub(pick(deltas, classes, 1), expected));
  return {
    classification: sum(mul(labelCrossEntropy(logits, classes), weights)),
    localisation: sum(mul(distance, reshape(thingWeights, [...thingWeights.shape, 1]))),
  };
}

/** What the mask head should say, see `maskBatch`. */
export type MaskTargetTensors = {
  /** u32, K or more for a row that is left over, `[R]`. */
  readonly classes: Tensor;
  /** Shares of the mean, `[R]`. */
  readonly weights: Tensor;
  /** 0 or 1, `[R, side, side]`. */
  readonly masks: Tensor;
};

/**
 * Binary cross entropy of the masks of the regions' classes.
 *
 * @param logits `[R, side, side, K]`.
 */
export function maskLoss(logits: Tensor, { classes, weights, masks }: MaskTargetTensors): Tensor {
  const losses = binaryCrossEntropy(pick(logits, classes, 3), masks);
  return sum(mul(mean(losses, [1, 2]), weights));
}

/**
 * Probabilities of the cells of the masks of given classes, as detectron2's `mask_rcnn_inference`.
 *
 * @param logits `[R, side, side, K]`.
 * @param classes u32, `[R]`.
 * @returns `[R, side, side]`.
 */
export function maskProbabilities(logits: Tensor, classes: Tensor): Tensor {
  return sigmoid(pick(logits, classes, 3));
}
