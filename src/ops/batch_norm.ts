/**
 * Batch normalisation without gain and bias.
 *
 * @module
 */
import { sizeOf, type Tensor } from "../tensor.ts";
import { add, div, mul, sqrt, square, sub } from "./map.ts";
import { mean } from "./reduce.ts";
import { reshape } from "./shape.ts";

/** What a batch gives, to be averaged over batches. */
export interface BatchMoments {
  /** `[C]`. */
  readonly mean: Tensor;
  /** The unbiased variance, `[C]`. */
  readonly variance: Tensor;
}

/**
 * Normalises every channel by its mean and (biased) variance over the batch (arXiv:1502.03167), as
 * while training.
 *
 * @param x `[…, C]`.
 * @returns y `[…, C]`, and the moments that a running average takes.
 * @throws {RangeError} If there is one value a channel, which has no variance.
 */
export function batchNorm(x: Tensor, eps: number): BatchMoments & { readonly y: Tensor } {
  const C = x.shape.at(-1)!;
  const count = sizeOf(x.shape) / C;
  if (count < 2) throw new RangeError(`Cannot normalise a batch of shape [${x.shape}]`);
  const rows = reshape(x, [count, C]);
  const average = mean(rows, [0], true);
  const centred = sub(rows, average);
  const variance = mean(square(centred), [0], true);
  return {
    y: reshape(div(centred, sqrt(add(variance, eps))), x.shape),
    mean: reshape(average, [C]),
    variance: mul(reshape(variance, [C]), count / (count - 1)),
  };
}

/** Normalises by running moments, as at evaluation; x `[…, C]`, moments `[C]`. */
export function normaliseBatch(x: Tensor, { mean, variance }: BatchMoments, eps: number): Tensor {
  return div(sub(x, mean), sqrt(add(variance, eps)));
}
