/**
 * Convolutions of maps `[N, H, W, C]` with kernels of any size.
 *
 * @module
 */
import { applyAll, type Dispatch, dispatch, workgroups } from "../op.ts";
import { type Aval, type Shape, sizeOf, type Tensor } from "../tensor.ts";
import { add } from "./map.ts";
import { linear, productDispatch, splits } from "./matmul.ts";
import { sum } from "./reduce.ts";
import { resample } from "./resample.ts";
import { BINDABLE, concat, partsOf, permute, reshape, slice } from "./shape.ts";

/** How a kernel is moved over a map. */
export interface ConvolutionOptions {
  /** Cells from one place to the next; 1 unless given. */
  readonly stride?: number;
  /** Zeros around the map; 0 unless given. */
  readonly padding?: number;
  /**
   * Bytes of scratch space that an image may take, before the result's rows are computed in parts; 128
   * MiB unless given.
   */
  readonly scratchBytes?: number;
}

/**
 * Convolution, as PyTorch's `conv2d` with one group.
 *
 * Nothing is unfolded: in a padded map that lies row by row, the k cells of a kernel's row are
 * neighbours, so k products with overlapping rows of k · C values give the result. Cells between the
 * places of a stride are computed and dropped.
 *
 * @param x `[N, H, W, C]`.
 * @param weight `[O, C, k, k]`.
 * @param bias `[O]`.
 * @returns `[N, ⌊(H + 2 · padding − k) / stride⌋ + 1, …, O]`.
 * @throws {RangeError} If the channels differ, or the kernel is no square or larger than the map.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { convolution, openDevice, read, tensor } from "@mcmae/mcmae";
 *
 * const x = tensor([1, 2, 3, 4], [1, 2, 2, 1]);
 * const weight = tensor(Array(9).fill(1), [1, 1, 3, 3]);
 * const y = convolution(x, weight, undefined, { padding: 1 });
 * assert.deepEqual([...await read(await openDevice(), y)], [10, 10, 10, 10]);
 * ```
 */
export function convolution(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  { stride = 1, padding = 0, scratchBytes = BINDABLE }: ConvolutionOptions = {},
): Tensor {
  const [, H, W, C] = x.shape;
  const [O, inputs, k, columns] = weight.shape;
  const fits = x.shape.length === 4 && weight.shape.length === 4 && inputs === C && k === columns &&
    Math.min(H, W) + 2 * padding >= k;
  if (!fits) {
    throw new RangeError(
      `Cannot convolve [${x.shape}] with [${weight.shape}] and a padding of ${padding}`,
    );
  }
  if (k === 1 && stride === 1 && padding === 0) return linear(x, weight, bias);
  // By rows of the kernel, then (channel out), (column, channel in).
  const rows = reshape(permute(weight, [2, 0, 3, 1]), [k, O, k * C]);
  const [height, width] = [H + 2 * padding, W + 2 * padding];
  const bytes = 4 * k * height * width * Math.max(C, O); // of the result, or of x's gradient
  const outputs = Math.floor((height - k) / stride) + 1;
  const parts = partsOf(outputs, Math.ceil(bytes / scratchBytes)).map(([start, end]) => {
    const first = start * stride - padding; // row of x, or above it
    const reach = (end - start - 1) * stride + k;
    const from = Math.max(0, first);
    const seen = slice(x, 1, from, Math.min(H, first + reach));
    const course = { top: from - first, left: padding, apart: 1, step: stride };
    return move(seen, rows, { k, height: reach, width, ...course });
  });
  const y = concat(parts, 1);
  return bias ? add(y, bias) : y;
}

/** Where a map lies in the one that a kernel is moved over, and where it stops. */
interface Course {
  /** Side of the kernel. */
  readonly k: number;
  /** Of the padded map. */
  readonly height: number;
  readonly width: number;
  /** The map's first cell, and the distance between its cells. */
  readonly top: number;
  readonly left: number;
  readonly apart: number;
  /** Distance between the places of the kernel. */
  readonly step: number;
}

/** Convolution with rows of a kernel `[k, O, k · C]`. */
function move(x: Tensor, rows: Tensor, course: Course): Tensor {
  const [n, H, W, C] = x.shape;
  const [k, O] = rows.shape;
  const { height, width, top, left, apart, step } = course;
  const cells = n * height * width;
  const [outH, outW] = [height, width].map((side) => Math.floor((side - k) / step) + 1);
  const padded: Aval = { shape: [n * height + k, width, C], dtype: "u32" };
  const flat: Aval = { shape: [k, n, height, width, O], dtype: "u32" };
  const [y] = applyAll({
    name: "convolution",
    key: `convolution:${x.shape}:${rows.shape}:${Object.values(course)}`,
    // The result; the padded map; what each row of the kernel gives at every cell, valid or not.
    outputs: [{ shape: [n, outH, outW, O], dtype: "f32" }, padded, flat],
    activation: "always",
    flops: 2 * k * k * C * n * outH * outW * O,
    lowering: {
      kind: "kernel",
      dispatches: (target) => [
        pad({ x: x.shape, to: padded.shape, height, top, left, apart }, [0, 3]),
        productDispatch(target, {
          ...{ M: cells, N: O, K: k * C, outer: k, inner: 1, scale: 1 },
          a: { offset: 0, outer: width * C, inner: 0, row: C },
          b: { transpose: true, offset: 0, outer: O * k * C, inner: 0, row: k * C },
          c: { offset: 0, outer: cells * O, inner: 0, row: O },
        }, [3, 1, 4]),
        place({
          ...{ N: n, XH: height, XW: width, C: O, YH: outH, YW: outW, rows: n * outH },
          ...{ slabs: k, top: 0, left: 0, apart: 1, step },
        }, [4, 2]),
      ],
    },
    vjp: ([dy], [x, rows]) => {
      // A convolution of dy with the kernel turned around, in (channel in), (column, channel out).
      const turned = reshape(
        permute(turn(reshape(rows, [k, O, k, C])), [0, 3, 2, 1]),
        [k, C, k * O],
      );
      return [
        move(dy!, turned, {
          ...{ k, height: H + k - 1, width: W + k - 1 },
          ...{ top: k - 1 - top, left: k - 1 - left, apart: step, step: 1 },
        }),
        rowGradient(x, dy!, course, rows.shape),
      ];
    },
  }, [x, rows]);
  return y;
}

/** Gradient with respect to the rows of the kernel. */
function rowGradient(x: Tensor, dy: Tensor, course: Course, shape: Shape): Tensor {
  const [n, , , C] = x.shape;
  const [k, O] = shape;
  const { height, width, top, left, apart, step } = course;
  const cells = n * height * width;
  const parts = splits(cells, O, k * C);
  const padded: Aval = { shape: [n * height + k, width, C], dtype: "u32" };
  const spread: Aval = { shape: [n * height, width, O], dtype: "u32" };
  const [partial] = applyAll({
    name: "convolution_grad",
    key: `convolution_grad:${x.shape}:${shape}:${Object.values(course)}`,
    // Partial sums; the padded map; the gradient at every cell, zero at those that are not valid.
    outputs: [{ shape: [parts, k, O, k * C], dtype: "f32" }, padded, spread],
    flops: 2 * k * k * C * sizeOf(dy.shape),
    lowering: {
      kind: "kernel",
      dispatches: (target) => [
        pad({ x: x.shape, to: padded.shape, height, top, left, apart }, [0, 3]),
        pad({ x: dy.shape, to: spread.shape, height, top: 0, left: 0, apart: step }, [1, 4]),
        productDispatch(target, {
          ...{ M: O, N: k * C, K: cells / parts, outer: parts, inner: k, scale: 1 },
          a: { transpose: true, offset: 0, outer: cells / parts * O, inner: 0, row: O },
          b: { offset: 0, outer: cells / parts * C, inner: width * C, row: C },
          c: { offset: 0, outer: k * O * k * C, inner: O * k * C, row: k * C },
        }, [4, 3, 2]),
      ],
    },
  }, [x, dy]);
  return sum(partial, [0]);
}

/** A kernel `[k, O, k, C]` with its rows and columns in reverse. */
function turn(rows: Tensor): Tensor {
  const [k] = rows.shape;
  const reverse = Array.from({ length: k }, (_, i) => [[k - 1 - i, 1] as const]);
  return resample(resample(rows, 0, reverse), 2, reverse);
}

/** A map among zeros. */
function pad(
  { x: [N, XH, XW, C], to: [rows, YW], height, top, left, apart }: {
    readonly x: Shape;
    readonly to: Shape;
    readonly height: number;
    readonly top: number;
    readonly left: number;
    readonly apart: number;
  },
  operands: readonly [number, number],
): Dispatch {
  return place({
    ...{ N, XH, XW, C, YH: height, YW, rows, slabs: 1, top, left, apart, step: 1 },
  }, operands);
}

/** A launch of the kernel `window`, in fours where it can. */
function place(
  { rows, C, ...sizes }: Record<
    "N" | "XH" | "XW" | "C" | "YH" | "YW" | "rows" | "slabs" | "top" | "left" | "apart" | "step",
    number
  >,
  operands: readonly [number, number],
): Dispatch {
  const lanes = C % 4 === 0 ? 4 : 1;
  const size = rows * sizes.YW * C / lanes;
  return dispatch("window", { ...sizes, C: C / lanes, size }, operands, workgroups(size), lanes);
}
