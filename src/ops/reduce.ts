/**
 * Sums over axes.
 *
 * @module
 */
import { apply, dispatch, workgroups } from "../op.ts";
import { type Aval, sameShape, type Shape, sizeOf, type Tensor } from "../tensor.ts";
import { broadcastTo, mul, square } from "./map.ts";
import { reshape } from "./shape.ts";

/** Values that one invocation adds: long sums are trees, for speed and for precision. */
const CHUNK = 64;

/**
 * Sums over axes.
 *
 * @param x Any shape.
 * @param axes Axes to sum over, all if left out; negative ones count from the end.
 * @param keep Whether summed axes stay, with size 1.
 * @returns x's shape without (or with size 1 at) the summed axes.
 * @throws {RangeError} If x has no such axis.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openDevice, read, sum, tensor } from "@mcmae/mcmae";
 *
 * const x = tensor([1, 2, 3, 4], [2, 2]);
 * assert.deepEqual([...await read(await openDevice(), sum(x, [0]))], [4, 6]);
 * ```
 */
export function sum(x: Tensor, axes?: readonly number[], keep = false): Tensor {
  const rank = x.shape.length;
  const summed = new Set((axes ?? x.shape.keys().toArray()).map((axis) => {
    if (axis < -rank || axis >= rank) {
      throw new RangeError(`Cannot sum over axis ${axis} of shape [${x.shape}]`);
    }
    return axis < 0 ? axis + rank : axis;
  }));
  const shape = x.shape.map((size, axis) => summed.has(axis) ? 1 : size);
  // Neighbouring summed axes are one; groups are summed from the last to the first.
  let y = x;
  for (let end = rank; end > 0; end--) {
    if (!summed.has(end - 1)) continue;
    let start = end - 1;
    while (start > 0 && summed.has(start - 1)) start--;
    const inner = sizeOf(shape.slice(end));
    y = sumMiddle(
      reshape(y, [sizeOf(x.shape.slice(0, start)), sizeOf(x.shape.slice(start, end)), inner]),
    );
    end = start + 1;
  }
  return reshape(y, keep ? shape : shape.filter((_, axis) => !summed.has(axis)));
}

/** Mean over axes; arguments as for `sum`. */
export function mean(x: Tensor, axes?: readonly number[], keep = false): Tensor {
  const total = sum(x, axes, keep);
  return mul(total, sizeOf(total.shape) / sizeOf(x.shape));
}

/** Σ x² over all of x, shape []. */
export function sumOfSquares(x: Tensor): Tensor {
  return reshape(sumMiddle(reshape(x, [1, sizeOf(x.shape), 1]), true), []);
}

/** Undoes broadcasting: sums x over what was repeated to get from `shape` to x's shape. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const missing = x.shape.length - shape.length;
  const axes = x.shape.keys().filter((axis) =>
    axis < missing || shape[axis - missing] === 1 && x.shape[axis] !== 1
  );
  return reshape(sum(x, axes.toArray(), true), shape);
}

/** [outer, R, inner] → [outer, 1, inner], through partial sums that live no longer than the op. */
function sumMiddle(x: Tensor, squares = false): Tensor {
  const [outer, length, inner] = x.shape;
  if (length === 1) return squares ? square(x) : x;
  const passes = passesOf(length, inner);
  const last = passes.length - 1;
  // The sum is the first output, the partial sums follow; operand 0 is x.
  const place = (pass: number) => pass === 0 ? 0 : pass > last ? 1 : pass + 1;
  return apply({
    name: "sum",
    key: `sum:${x.shape}:${squares}`,
    outputs: [
      { shape: [outer, 1, inner], dtype: "f32" },
      ...passes.slice(0, -1).map(({ chunks, inner, lanes }): Aval => ({
        shape: [outer, chunks, inner * lanes],
        dtype: "f32",
      })),
    ],
    flops: (squares ? 2 : 1) * sizeOf(x.shape),
    lowering: {
      kind: "kernel",
      dispatches: ({ cpu }) =>
        passes.map(({ R, inner, chunks, lanes }, pass) => {
          const size = outer * chunks * inner;
          const [apart, step] = cpu ? [CHUNK, 1] : [1, chunks];
          return dispatch(
            "reduce",
            { R, inner, chunk: CHUNK, chunks, apart, step, squares: squares && pass === 0, size },
            [place(pass), place(pass + 1)],
            workgroups(size),
            lanes,
          );
        }),
    },
    vjp: ([dy]) => [squares ? mul(mul(dy!, 2), x) : broadcastTo(dy!, x.shape)],
  }, [x]);
}

/** One pass over an axis: R elems become `chunks`. */
interface Pass {
  readonly R: number;
  readonly inner: number;
  readonly chunks: number;
  readonly lanes: 1 | 4;
}

/** Passes over [outer, length, inner], in fours where inner divides by them or a long row does. */
function passesOf(length: number, inner: number): Pass[] {
  const passes: Pass[] = [];
  const add = (length: number, inner: number, lanes: 1 | 4, most: number): number => {
    let R = length;
    while (R > most) {
      const chunks = Math.ceil(R / CHUNK);
      passes.push({ R, inner, chunks, lanes });
      R = chunks;
    }
    return R;
  };
  if (inner % 4 === 0) add(length, inner / 4, 4, 1);
  else if (inner === 1 && length > CHUNK && length % 4 === 0) {
    add(4 * add(length / 4, 1, 4, CHUNK / 4), 1, 1, 1);
  } else add(length, inner, 1, 1);
  return passes;
}
