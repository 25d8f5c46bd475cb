/**
 * Transposed convolutions whose kernels do not overlap.
 *
 * @module
 */
import type { Tensor } from "../tensor.ts";
import { add } from "./map.ts";
import { linear } from "./matmul.ts";
import { permute, reshape } from "./shape.ts";

/**
 * Makes k × k cells of each one, as PyTorch's `conv_transpose2d` with a stride of k: a product.
 *
 * @param x `[N, H, W, C]`.
 * @param weight `[C, O, k, k]`.
 * @param bias `[O]`.
 * @returns `[N, k · H, k · W, O]`.
 * @throws {RangeError} If the channels differ or the kernel is no square.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openDevice, read, tensor, transposedConvolution } from "@mcmae/mcmae";
 *
 * const weight = tensor([1, 2, 3, 4], [1, 1, 2, 2]);
 * const y = transposedConvolution(tensor([10], [1, 1, 1, 1]), weight);
 * assert.deepEqual([...await read(await openDevice(), y)], [10, 20, 30, 40]);
 * ```
 */
export function transposedConvolution(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const [N, H, W, C] = x.shape;
  const [inputs, O, k, width] = weight.shape;
  if (x.shape.length !== 4 || weight.shape.length !== 4 || inputs !== C || k !== width) {
    throw new RangeError(`Cannot convolve [${x.shape}] transposed with [${weight.shape}]`);
  }
  const rows = reshape(permute(weight, [2, 3, 1, 0]), [k * k * O, C]);
  const cells = reshape(linear(x, rows), [N, H, W, k, k, O]);
  const y = reshape(permute(cells, [0, 1, 3, 2, 4, 5]), [N, k * H, k * W, O]);
  return bias ? add(y, bias) : y;
}
