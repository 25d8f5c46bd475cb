/**
 * Cross entropy, the loss of classifiers: with soft targets, or with labels.
 *
 * @module
 */
import { apply, applyAll, dispatch, workgroups } from "../op.ts";
import { sameShape, sizeOf, type Tensor } from "../tensor.ts";
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
    flops: 7 * rows * C, // largest, difference, exponential, sum; t · log-softmax, two sums
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

/**
 * Cross entropy of every row with its label.
 *
 * @param logits z, `[…, K]`.
 * @param labels `[…]`, u32. A label of K or more is ignored: its loss and its gradient are 0.
 * @returns log Σ eᶻ − z[label] for each row, `[…]`.
 * @throws {RangeError} If the shapes do not fit together.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { labelCrossEntropy, openDevice, read, tensor } from "@mcmae/mcmae";
 *
 * const labels = tensor(new Uint32Array([0, 255]));
 * const losses = labelCrossEntropy(tensor([0, 0, 0, 0], [2, 2]), labels);
 * const [first, ignored] = await read(await openDevice(), losses);
 * assert(Math.abs(first - Math.log(2)) < 1e-6 && ignored === 0);
 * ```
 */
export function labelCrossEntropy(logits: Tensor, labels: Tensor): Tensor {
  const C = logits.shape.at(-1)!;
  const rows = sizeOf(labels.shape);
  if (!sameShape(logits.shape.slice(0, -1), labels.shape)) {
    throw new RangeError(
      `Cannot compare logits [${logits.shape}] with labels [${labels.shape}]`,
    );
  }
  const [losses] = applyAll({
    name: "label_cross_entropy",
    key: `label_cross_entropy:${logits.shape}`,
    outputs: [{ shape: labels.shape, dtype: "f32" }, { shape: labels.shape, dtype: "f32" }],
    flops: 4 * rows * C, // largest, difference, exponential, sum
    lowering: {
      kind: "kernel",
      dispatches: () => [
        dispatch("labelCrossEntropy", { C, rows }, [0, 1, 2, 3], workgroups(rows)),
      ],
    },
    vjp: ([dy], [logits, labels], [, logTotal]) => {
      const size = rows * C;
      return [
        apply({
          name: "label_cross_entropy_grad",
          key: `label_cross_entropy_grad:${logits.shape}`,
          outputs: [{ shape: logits.shape, dtype: "f32" }],
          activation: "follows",
          flops: 4 * size, // difference, exponential, difference, product
          lowering: {
            kind: "kernel",
            dispatches: () => [
              dispatch("labelCrossEntropyGrad", { C, size }, [0, 1, 2, 3, 4], workgroups(size)),
            ],
          },
        }, [dy!, logits, labels, logTotal]),
        undefined,
      ];
    },
  }, [logits, labels]);
  return losses;
}
