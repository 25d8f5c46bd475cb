/**
 * The linear probe of MAE and MCMAE: batch normalisation without gain and bias, then one linear
 * layer, on the features of a frozen encoder.
 *
 * @module
 */
import { type Affine, constant, type Initializer } from "../init.ts";
import { type BatchMoments, batchNorm, normaliseBatch } from "../ops/batch_norm.ts";
import { crossEntropy } from "../ops/cross_entropy.ts";
import { add, mul } from "../ops/map.ts";
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

/** Moments as a tree of parameters. */
export type Moments = { readonly mean: Tensor; readonly variance: Tensor };

export type ProbeParams = {
  readonly head: Affine;
  readonly running: Moments;
};

/** Draws parameters as the published code does: N(0, 0.01) for the head; zeros without a draw. */
export function initProbe({ width, classes }: ProbeSettings, draw?: Initializer): ProbeParams {
  return {
    head: {
      weight: draw?.normal([classes, width], 0.01) ?? constant([classes, width], 0),
      bias: constant([classes], 0),
    },
    running: { mean: constant([width], 0), variance: constant([width], 1) },
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
  { head }: ProbeParams,
  features: Tensor,
  targets: Tensor,
  eps: number = PROBE_EPS,
): { loss: Tensor; statistics: BatchMoments } {
  const { y, mean, variance } = batchNorm(features, eps);
  return { loss: crossEntropy(affine(y, head), targets), statistics: { mean, variance } };
}

/** Class scores at evaluation, `[N, C]` → `[N, K]`. */
export function applyProbe(
  { head, running }: ProbeParams,
  features: Tensor,
  eps: number = PROBE_EPS,
): Tensor {
  return affine(normaliseBatch(features, running, eps), head);
}

/** Running moments after a batch: (1 − momentum) · old + momentum · new. */
export function runningAverage(
  running: Moments,
  batch: BatchMoments,
  momentum: number = PROBE_MOMENTUM,
): Moments {
  const mix = (old: Tensor, now: Tensor) => add(mul(old, 1 - momentum), mul(now, momentum));
  return { mean: mix(running.mean, batch.mean), variance: mix(running.variance, batch.variance) };
}
