/**
 * Stochastic depth.
 *
 * @module
 */
import type { Tensor } from "../tensor.ts";
import { add, div, elementwise, mul } from "./map.ts";

/**
 * Drops a residual branch for some samples and enlarges it for the others, as timm's `DropPath`
 * (arXiv:1603.09382): x / keep · ⌊keep + u⌋ with keep = 1 − rate. Only while training.
 *
 * @param x The branch, `[N, …]`.
 * @param uniform Draws u from [0, 1), one a sample, `[N, 1, …]`. They have no gradient.
 * @param rate Probability to drop a sample, in [0, 1).
 * @returns `[N, …]`; x itself at rate 0.
 * @throws {RangeError} If the rate is out of range, or the shapes do not broadcast.
 */
export function dropPath(x: Tensor, uniform: Tensor, rate: number): Tensor {
  if (!(rate >= 0 && rate < 1)) {
    throw new RangeError(`Cannot drop paths at rate ${rate}: it must be 0 or more and below 1`);
  }
  if (rate === 0) return x;
  const keep = 1 - rate;
  const kept = elementwise("floor", "floor($0)", [add(uniform, keep)], [() => undefined]);
  return mul(div(x, keep), kept);
}
