/**
 * Interpolation and pooling of maps `[N, H, W, C]`.
 *
 * @module
 */
import { apply, dispatch, workgroups } from "../op.ts";
import { cubicTaps, linearTaps, poolTaps, type Taps, transposed } from "../taps.ts";
import { sizeOf, type Tensor, tensor } from "../tensor.ts";

/** Height and width. */
type Sides = readonly [height: number, width: number];

/**
 * Weighted sums of a few values along an axis.
 *
 * @param x Any shape.
 * @param taps For each value of the new axis, which of the old one's it is made of.
 * @returns x's shape with as many values along the axis as there are taps.
 * @throws {RangeError} If a tap is beyond the axis.
 */
export function resample(x: Tensor, axis: number, taps: Taps): Tensor {
  const X = x.shape[axis];
  const beyond = taps.flat().find(([index]) => !(index >= 0 && index < X));
  if (beyond) {
    throw new RangeError(`Cannot take value ${beyond[0]} of axis ${axis} of [${x.shape}]`);
  }
  const T = Math.max(1, ...taps.map((row) => row.length));
  const Y = taps.length;
  const index = new Uint32Array(Y * T);
  const weight = new Float32Array(Y * T);
  taps.forEach((row, j) =>
    row.forEach(([from, share], t) => {
      index[j * T + t] = from;
      weight[j * T + t] = share;
    })
  );
  const shape = x.shape.with(axis, Y);
  const values = sizeOf(x.shape.slice(axis + 1));
  const lanes = values % 4 === 0 ? 4 : 1;
  const inner = values / lanes;
  const size = sizeOf(shape) / lanes;
  return apply({
    name: "resample",
    key: `resample:${x.shape}:${axis}:${Y}`,
    outputs: [{ shape, dtype: "f32" }],
    activation: "follows",
    flops: 2 * taps.flat().length * sizeOf(shape) / Y,
    lowering: {
      kind: "kernel",
      dispatches: () => [
        dispatch("resample", { X, Y, inner, T, size }, [0, 1, 2, 3], workgroups(size), lanes),
      ],
    },
    vjp: ([dy]) => [resample(dy!, axis, transposed(taps, X)), undefined, undefined],
  }, [x, tensor(index, [Y, T]), tensor(weight, [Y, T])]);
}

/** Along both sides; the first shrinks or grows rows. */
function resampleSides(
  x: Tensor,
  [height, width]: Sides,
  tapsOf: (size: number, newSize: number) => Taps,
): Tensor {
  const [, H, W] = x.shape;
  const tall = height === H ? x : resample(x, 1, tapsOf(H, height));
  return width === W ? tall : resample(tall, 2, tapsOf(W, width));
}

/**
 * Bilinear interpolation, as PyTorch's `interpolate` with `align_corners=False`, without antialias.
 *
 * @param x `[N, H, W, C]`.
 * @returns `[N, height, width, C]`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openDevice, read, resizeBilinear, tensor } from "@mcmae/mcmae";
 *
 * const x = tensor([0, 4], [1, 1, 2, 1]);
 * const wide = resizeBilinear(x, [1, 4]);
 * assert.deepEqual([...await read(await openDevice(), wide)], [0, 1, 3, 4]);
 * ```
 */
export function resizeBilinear(x: Tensor, sides: Sides): Tensor {
  return resampleSides(x, sides, linearTaps);
}

/** Bicubic interpolation (a = −0.75); else as {@linkcode resizeBilinear}. */
export function resizeBicubic(x: Tensor, sides: Sides): Tensor {
  return resampleSides(x, sides, cubicTaps);
}

/**
 * Means over `bins × bins` parts of maps, as PyTorch's `adaptive_avg_pool2d`.
 *
 * @param x `[N, H, W, C]`.
 * @returns `[N, bins, bins, C]`.
 */
export function adaptiveAveragePool(x: Tensor, bins: number): Tensor {
  return resampleSides(x, [bins, bins], poolTaps);
}
