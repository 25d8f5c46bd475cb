/**
 * Picking values by the class of a row.
 *
 * @module
 */
import { apply, dispatch, workgroups } from "../op.ts";
import { sizeOf, type Tensor } from "../tensor.ts";

/**
 * Picks in every row the values of its class, of an axis that has one for each.
 *
 * @param x `[R, …, K, …]`.
 * @param labels `[R]`, u32. A label of K or more gives zeros.
 * @param axis Of the classes, not the first.
 * @returns x's shape without the axis.
 * @throws {RangeError} If the shapes do not fit together.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openDevice, pick, read, tensor } from "@mcmae/mcmae";
 *
 * const scores = tensor([1, 2, 3, 4], [2, 2]);
 * const labels = tensor(new Uint32Array([1, 2]));
 * assert.deepEqual([...await read(await openDevice(), pick(scores, labels, 1))], [2, 0]);
 * ```
 */
export function pick(x: Tensor, labels: Tensor, axis: number): Tensor {
  const [R] = x.shape;
  if (!(axis > 0 && axis < x.shape.length) || labels.shape.length !== 1 || labels.shape[0] !== R) {
    throw new RangeError(`Cannot pick of axis ${axis} of [${x.shape}] by labels [${labels.shape}]`);
  }
  const K = x.shape[axis];
  const shape = x.shape.toSpliced(axis, 1);
  const inner = sizeOf(x.shape.slice(axis + 1));
  const constants = { P: sizeOf(shape) / R / inner, K, inner };
  const launch = (kernel: "pick" | "pickGrad", size: number) =>
    dispatch(kernel, { ...constants, size }, [0, 1, 2], workgroups(size));
  return apply({
    name: "pick",
    key: `pick:${x.shape}:${axis}`,
    outputs: [{ shape, dtype: "f32" }],
    activation: "follows",
    lowering: { kind: "kernel", dispatches: () => [launch("pick", sizeOf(shape))] },
    vjp: ([dy]) => [
      apply({
        name: "pick_grad",
        key: `pick_grad:${x.shape}:${axis}`,
        outputs: [{ shape: x.shape, dtype: "f32" }],
        activation: "follows",
        lowering: { kind: "kernel", dispatches: () => [launch("pickGrad", sizeOf(x.shape))] },
      }, [dy!, labels]),
      undefined,
    ],
  }, [x, labels]);
}
