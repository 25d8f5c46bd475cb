/**
 * Ops that move values and change none.
 *
 * @module
 */
import { apply, dispatch, workgroups } from "../op.ts";
import { sameShape, type Shape, sizeOf, stridesOf, type Tensor } from "../tensor.ts";
import { add } from "./map.ts";

/** Bytes of the largest tensor that every WebGPU adapter binds. */
export const BINDABLE = 128 * 2 ** 20;

/**
 * The same values in another shape; costs nothing.
 *
 * @throws {RangeError} If the shapes hold different numbers of values.
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  if (sizeOf(shape) !== sizeOf(x.shape)) {
    throw new RangeError(`Cannot reshape [${x.shape}] to [${shape}]: the number of values differs`);
  }
  return apply({
    name: "reshape",
    key: `reshape:${shape}`,
    outputs: [{ shape, dtype: x.dtype }],
    lowering: { kind: "view" },
    vjp: ([dy]) => [reshape(dy!, x.shape)],
  }, [x]);
}

/**
 * Reorders axes.
 *
 * @param x At most six axes.
 * @param order For each axis of the result, the axis of x.
 * @throws {RangeError} If `order` is no permutation of x's axes, or x has more than six.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openDevice, permute, read, tensor } from "@mcmae/mcmae";
 *
 * const x = tensor([1, 2, 3, 4, 5, 6], [2, 3]);
 * assert.deepEqual([...await read(await openDevice(), permute(x, [1, 0]))], [1, 4, 2, 5, 3, 6]);
 * ```
 */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  const rank = x.shape.length;
  if (rank > 6 || !sameShape(order.toSorted((a, b) => a - b), [...x.shape.keys()])) {
    throw new RangeError(`Cannot permute [${x.shape}] by [${order}]`);
  }
  const shape = order.map((axis) => x.shape[axis]);
  const [, d1, d2, d3, d4, d5] = [...Array(6 - rank).fill(1), ...shape];
  const strides = stridesOf(x.shape);
  const [s0, s1, s2, s3, s4, s5] = [...Array(6 - rank).fill(0), ...order.map((a) => strides[a])];
  const size = sizeOf(shape);
  const inverse = order.map((_, axis) => order.indexOf(axis));
  return apply({
    name: "permute",
    key: `permute:${x.shape}:${order}`,
    outputs: [{ shape, dtype: "f32" }],
    activation: "follows",
    lowering: {
      kind: "kernel",
      dispatches: () => [
        dispatch(
          "permute",
          { d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, size },
          [0, 1],
          workgroups(size),
        ),
      ],
    },
    vjp: ([dy]) => [permute(dy!, inverse)],
  }, [x]);
}

/**
 * Values `start` to `end` of one axis.
 *
 * @throws {RangeError} If the range is empty or leaves the axis.
 */
export function slice(x: Tensor, axis: number, start: number, end: number): Tensor {
  if (!(start >= 0 && start < end && end <= x.shape[axis])) {
    throw new RangeError(`Cannot slice ${start}…${end} of axis ${axis} of shape [${x.shape}]`);
  }
  return shift(x, axis, -start, end - start);
}

/**
 * Joins tensors along an axis.
 *
 * @throws {RangeError} If the other axes differ.
 */
export function concat(parts: readonly Tensor[], axis: number): Tensor {
  const [first] = parts;
  const wrong = parts.find((part) =>
    part.shape.length !== first.shape.length ||
    part.shape.some((size, i) => i !== axis && size !== first.shape[i])
  );
  if (wrong) {
    throw new RangeError(`Cannot join [${first.shape}] and [${wrong.shape}] along ${axis}`);
  }
  const length = parts.reduce((total, part) => total + part.shape[axis], 0);
  let offset = 0;
  // Each part is padded with zeros to the whole length, so that joining is adding.
  return parts.map((part) => {
    const padded = shift(part, axis, offset, length);
    offset += part.shape[axis];
    return padded;
  }).reduce(add);
}

/** Cuts `length` into at most `count` ranges that differ by one at most. */
export function partsOf(length: number, count: number): [start: number, end: number][] {
  const parts = Math.max(1, Math.min(length, count));
  const bound = (i: number) => Math.floor(i * length / parts);
  return Array.from({ length: parts }, (_, i) => [bound(i), bound(i + 1)]);
}

/** y[j + offset] = x[j] along an axis of `length`, zero elsewhere. */
function shift(x: Tensor, axis: number, offset: number, length: number): Tensor {
  if (offset === 0 && length === x.shape[axis]) return x;
  const shape = x.shape.with(axis, length);
  const size = sizeOf(shape);
  const inner = sizeOf(shape.slice(axis + 1));
  return apply({
    name: "shift",
    key: `shift:${shape}:${axis}:${offset}:${x.shape[axis]}`,
    outputs: [{ shape, dtype: "f32" }],
    activation: "follows",
    lowering: {
      kind: "kernel",
      dispatches: () => [
        dispatch(
          "shift",
          { X: x.shape[axis], Y: length, inner, offset, size },
          [0, 1],
          workgroups(size),
        ),
      ],
    },
    vjp: ([dy]) => [shift(dy!, axis, -offset, x.shape[axis])],
  }, [x]);
}
