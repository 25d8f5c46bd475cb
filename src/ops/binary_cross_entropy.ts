/**
 * Binary cross entropy, the loss of yes or no.
 *
 * @module
 */
import type { Tensor } from "../tensor.ts";
import { elementwise, mul, sigmoid, sub } from "./map.ts";

/**
 * −t · log σ(z) − (1 − t) · log(1 − σ(z)) elementwise, as PyTorch's
 * `binary_cross_entropy_with_logits` before its mean.
 *
 * @param logits z, any shape.
 * @param targets t between 0 and 1, in a shape that broadcasts to z's; they have no gradient.
 * @returns z's shape.
 * @throws {RangeError} If the shapes do not broadcast.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { binaryCrossEntropy, openDevice, read, tensor } from "@mcmae/mcmae";
 *
 * const [loss] = await read(await openDevice(), binaryCrossEntropy(tensor([0]), tensor([1])));
 * assert(Math.abs(loss - Math.log(2)) < 1e-6);
 * ```
 */
export function binaryCrossEntropy(logits: Tensor, targets: Tensor): Tensor {
  const text = "(max($0, elem(0.0)) - $0 * $1 + log(elem(1.0) + exp(-abs($0))))";
  return elementwise("binary_cross_entropy", text, [logits, targets], [
    (dy) => mul(dy, sub(sigmoid(logits), targets)),
    () => undefined,
  ]);
}
