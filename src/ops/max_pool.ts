/**
 * Largest values of maps `[N, H, W, C]`.
 *
 * @module
 */
import { apply, dispatch, workgroups } from "../op.ts";
import { sizeOf, type Tensor } from "../tensor.ts";

/**
 * The largest value of each window, as PyTorch's `max_pool2d` without padding: cells that no whole window
 * holds are left out. Of equal values the first gets the gradient.
 *
 * @param x `[N, H, W, C]`.
 * @param side Of the windows.
 * @param stride From one window to the next, so that none overlap; the side unless given.
 * @returns `[N, ⌊(H − side) / stride⌋ + 1, …, C]`.
 * @throws {RangeError} If windows overlap, or the map is smaller than one.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { maxPool, openDevice, read, tensor } from "@mcmae/mcmae";
 *
 * const y = maxPool(tensor([1, 4, 3, 2, 0, 9], [1, 2, 3, 1]), 2); // the last column is in no window
 * assert.deepEqual([...await read(await openDevice(), y)], [4]);
 * ```
 */
export function maxPool(x: Tensor, side: number, stride = side): Tensor {
  const [n, H, W, C] = x.shape;
  if (x.shape.length !== 4 || !(side >= 1) || stride < side || Math.min(H, W) < side) {
    throw new RangeError(`Cannot pool [${x.shape}] by windows of ${side}, ${stride} apart`);
  }
  const [YH, YW] = [H, W].map((length) => Math.floor((length - side) / stride) + 1);
  const shape = [n, YH, YW, C];
  const constants = { H, W, C, YH, YW, side, stride };
  const [size, inputs] = [sizeOf(shape), sizeOf(x.shape)];
  return apply({
    name: "max_pool",
    key: `max_pool:${x.shape}:${side}:${stride}`,
    outputs: [{ shape, dtype: "f32" }],
    activation: "follows",
    flops: side * side * size,
    lowering: {
      kind: "kernel",
      dispatches: () => [dispatch("maxPool", { ...constants, size }, [0, 1], workgroups(size))],
    },
    vjp: ([dy], [x]) => [
      apply({
        name: "max_pool_grad",
        key: `max_pool_grad:${x.shape}:${side}:${stride}`,
        outputs: [{ shape: x.shape, dtype: "f32" }],
        activation: "follows",
        lowering: {
          kind: "kernel",
          dispatches: () => [
            dispatch("maxPoolGrad", { ...constants, size: inputs }, [0, 1, 2], workgroups(inputs)),
          ],
        },
      }, [dy!, x]),
    ],
  }, [x]);
}
