/**
 * Batch normalisation as a layer: by the batch while training, by running moments otherwise.
 *
 * @module
 */
import { constant, type Initializer } from "../init.ts";
import { batchNorm, normaliseBatch } from "../ops/batch_norm.ts";
import { convolution, type ConvolutionOptions } from "../ops/convolution.ts";
import { add, mul, relu } from "../ops/map.ts";
import { slice } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";
import { entries, type Tree } from "../tree.ts";

/** PyTorch's defaults. */
export const BATCH_NORM = { eps: 1e-5, momentum: 0.1 } as const;

/** A BatchNorm, by PyTorch's names, `[C]` each. */
export type BatchNormParams = {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly running_mean: Tensor;
  readonly running_var: Tensor;
};

/** A BatchNorm that changes nothing yet. */
export function initBatchNorm(width: number): BatchNormParams {
  return {
    ...{ weight: constant([width], 1), bias: constant([width], 0) },
    ...{ running_mean: constant([width], 0), running_var: constant([width], 1) },
  };
}

/** Whether a parameter is a running moment. */
export function isRunning(path: string): boolean {
  return /(^|\.)running_(mean|var)$/.test(path);
}

/** How a model's BatchNorms are applied: `[…, C]` → `[…, C]`. */
export type Normalise = (x: Tensor, layer: BatchNormParams) => Tensor;

/** By the running moments, as at evaluation. */
export const byRunning: Normalise = (
  x,
  { weight, bias, running_mean: mean, running_var: variance },
) => add(mul(normaliseBatch(x, { mean, variance }, BATCH_NORM.eps), weight), bias);

/**
 * By each batch's own moments, as while training.
 *
 * @returns `normalise`, and what it has measured so far, by the paths of the running moments in `params`.
 */
export function byBatch(params: Tree<Tensor>): {
  readonly normalise: Normalise;
  readonly statistics: () => Record<string, Tensor>;
} {
  const measured = new Map<Tensor, Tensor>();
  return {
    normalise: (x, { weight, bias, running_mean, running_var }) => {
      const { y, mean, variance } = batchNorm(x, BATCH_NORM.eps);
      measured.set(running_mean, mean).set(running_var, variance);
      return add(mul(y, weight), bias);
    },
    statistics: () =>
      Object.fromEntries(
        entries<Tensor>(params).filter(([, value]) => measured.has(value))
          .map(([path, value]) => [path, measured.get(value)!]),
      ),
  };
}

/** A convolution without bias, BatchNorm and ReLU: mmcv's `ConvModule`. */
export type ConvModule = {
  readonly conv: { readonly weight: Tensor };
  readonly bn: BatchNormParams;
};

/** Draws it as mmcv does: N(0, √(2 / fan out)). */
export function initConvModule(
  draw: Initializer,
  inputs: number,
  outputs: number,
  size: number,
): ConvModule {
  const std = Math.sqrt(2 / (outputs * size * size));
  return {
    conv: { weight: draw.normal([outputs, inputs, size, size], std) },
    bn: initBatchNorm(outputs),
  };
}

/**
 * Applies it to maps `[N, H, W, C]`, joined along C if there are several. Joined maps are not stored:
 * each is convolved with its part of the kernel, and the results are added.
 */
export function convModule(
  maps: Tensor | readonly Tensor[],
  { conv: { weight }, bn }: ConvModule,
  normalise: Normalise,
  options: ConvolutionOptions = {},
): Tensor {
  let start = 0;
  const parts = [maps].flat().map((x) => {
    const channels = x.shape.at(-1)!;
    const part = slice(weight, 1, start, start += channels);
    return convolution(x, part, undefined, options);
  });
  return relu(normalise(parts.reduce((sum, part) => add(sum, part)), bn));
}
