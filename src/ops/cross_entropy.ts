/**
 * Cross entropy with soft targets, the loss of classifiers.
 *
 * @module
 */
import { applyAll, dispatch, workgroups } from "../op.ts";
import { sameShape, type Tensor } from "../tensor.ts";
import { exp, mul, sub } from "./map.ts";
import { mean } from "./reduce.ts";
import { reshape, slice } from "./shape.ts";

/**
 * Mean over the batch of Σ −t · log softmax(z), as timm's `SoftTargetCrossEntropy`. One-hot targets
 * give the usual cross entropy, smoothed ones label smoothing.
 *
 * @param logits z, `[N, K]`.
 * @param targets t, `[N, K]`; they have no gradient.
 * @returns One value.
 * @throws {RangeError} If the shapes differ.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { crossEntropy, openDevice, read, tensor } from "@mcmae/mcmae";
 *
 * const loss = crossEntropy(tensor([0, 0], [1, 2]), tensor([1, 0], [1, 2]));
 * const [value] = await read(await openDevice(), loss);
 * assert(Math.abs(value - Math.log(2)) < 1e-6);
 * ```
 */
export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  const [rows, C] = logits.shape;
  if (logits.shape.length !== 2 || !sameShape(logits.shape, targets.shape)) {
    throw new RangeError(
      `Cannot compare logits [${logits.shape}] with targets [${targets.shape}]`,
    );
  }
  const [losses] = applyAll({
    name: "cross_entropy",
    key: `cross_entropy:${logits.shape}`,
    outputs: [{ shape: [rows], dtype: "f32" }, { shape: [rows, 2], dtype: "f32" }],
    lowering: {
      kind: "kernel",
      dispatches: () => [dispatch("crossEntropy", { C, rows }, [0, 1, 2, 3], workgroups(rows))],
    },
    vjp: ([dy], [logits, targets], [, sums]) => {
      const [logTotal, weight] = [0, 1].map((column) => slice(sums, 1, column, column + 1));
      const shares = exp(sub(logits, logTotal));
      const slope = sub(mul(shares, weight), targets);
      return [mul(slope, reshape(dy!, [rows, 1])), undefined];
    },
  }, [logits, targets]);
  return mean(losses);
}
