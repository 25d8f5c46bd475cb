/**
 * The linear probe of MAE and MCMAE: batch normalisation without gain and bias, then one linear
 * layer, on the features of a frozen encoder.
 *
 * @module
 */
import { type Affine, constant, type Initializer } from "../init.ts";
import { type BatchMoments, batchNorm, normaliseBatch } from "../ops/batch_norm.ts";
import { crossEntropy } from "../ops/cross_entropy.ts";
import type { Tensor } from "../tensor.ts";
import { affine } from "./transformer.ts";

/** eps of the published probe's batch normalisation. */
export const PROBE_EPS = 1e-6;

/** Share of a new batch in the running moments, as PyTorch's default. */
export const PROBE_MOMENTUM = 0.1;

export interface ProbeSettings {
  /** Channels of the features, C. */
  readonly width: number;
  /** Number of classes, K. */
  readonly classes: number;
}

/** Running moments of a BatchNorm, `[C]` each, by PyTorch's names. */
export type Moments = { readonly running_mean: Tensor; readonly running_var: Tensor };

/** Parameters by the published names, `head.0.…` and `head.1.…`. */
export type ProbeParams = {
  readonly head: readonly [Moments, Affine];
};

/** Draws parameters as the published code does: N(0, 0.01) for the head; zeros without a draw. */
export function initProbe({ width, classes }: ProbeSettings, draw?: Initializer): ProbeParams {
  return {
    head: [
      { running_mean: constant([width], 0), running_var: constant([width], 1) },
      {
        weight: draw?.normal([classes, width], 0.01) ?? constant([classes, width], 0),
        bias: constant([classes], 0),
      },
    ],
  };
}

/**
 * The loss of a training batch.
 *
 * @param features `[N, C]`.
 * @param targets `[N, K]`.
 * @returns The loss, and the batch's moments for the running ones.
 */
export function probeLoss(
  { head: [, layer] }: ProbeParams,
  features: Tensor,
  targets: Tensor,
  eps: number = PROBE_EPS,
): { loss: Tensor; moments: BatchMoments } {
  const { y, mean, variance } = batchNorm(features, eps);
  return { loss: crossEntropy(affine(y, layer), targets), moments: { mean, variance } };
}

/** Class scores at evaluation, `[N, C]` → `[N, K]`. */
export function applyProbe(
  { head: [{ running_mean: mean, running_var: variance }, layer] }: ProbeParams,
  features: Tensor,
  eps: number = PROBE_EPS,
): Tensor {
  return affine(normaliseBatch(features, { mean, variance }, eps), layer);
}
