/**
 * Depthwise convolutions, stride 1, zero padding: dense, and over visible blocks only.
 *
 * @module
 */
import { apply, dispatch, workgroups } from "../op.ts";
import { type Shape, sizeOf, type Tensor } from "../tensor.ts";
import { permute, reshape } from "./shape.ts";
import { sum } from "./reduce.ts";

/**
 * Depthwise convolution of whole maps.
 *
 * @param x `[N, H, W, C]`.
 * @param weight `[C, 1, k, k]`, k odd.
 * @param bias `[C]`.
 * @returns `[N, H, W, C]`.
 * @throws {RangeError} If the channels differ or k is even.
 */
export function depthwise(x: Tensor, weight: Tensor, bias: Tensor): Tensor {
  const [n, H, W, C] = x.shape;
  const k = kernelSize(x.shape, C, weight.shape);
  const size = sizeOf(x.shape);
  const correlate = (x: Tensor, bias: Tensor, flip: boolean): Tensor =>
    apply({
      name: flip ? "depthwise_grad_input" : "depthwise",
      key: `depthwise:${x.shape}:${k}:${flip}`,
      outputs: [{ shape: x.shape, dtype: "f32" }],
      lowering: {
        kind: "kernel",
        dispatches: () => [
          dispatch("depthwise", { H, W, C, k, flip, size }, [0, 1, 2, 3], workgroups(size)),
        ],
      },
      vjp: flip ? undefined : ([dy], [x]) => [
        correlate(dy!, bias, true),
        weightGrad(dy!, x),
        sum(dy!, [0, 1, 2]),
      ],
    }, [x, weight, bias]);
  const weightGrad = (dy: Tensor, x: Tensor): Tensor => {
    const rows = n * H;
    const chunk = Math.max(1, Math.ceil(rows / 32));
    const partialSize = Math.ceil(rows / chunk) * k * k * C;
    return tapsFirst(
      apply({
        name: "depthwise_grad_weight",
        key: `depthwise_grad_weight:${x.shape}:${k}`,
        outputs: [{ shape: [Math.ceil(rows / chunk), k * k, C], dtype: "f32" }],
        lowering: {
          kind: "kernel",
          dispatches: () => [
            dispatch(
              "depthwiseGrad",
              { H, W, C, k, rows, chunk, size: partialSize },
              [0, 1, 2],
              workgroups(partialSize),
            ),
          ],
        },
      }, [dy, x]),
      weight.shape,
    );
  };
  return correlate(x, bias, false);
}

/** The visible blocks of a map, as indices. */
export interface VisibleBlocks {
  /** Place of each visible block in the grid, `[N, V]`, u32. */
  readonly keep: Tensor;
  /** For each place its block, V or more where it is removed, `[N, GH · GW]`, u32. */
  readonly restore: Tensor;
  /** Blocks in a column and in a row of the map. */
  readonly grid: readonly [GH: number, GW: number];
}

/**
 * Masked depthwise convolution (MCMAE, arXiv:2205.03892, section 2.2) over visible blocks only:
 * the same values as convolving the whole map after zeroing its removed blocks.
 *
 * @param x Visible blocks `[N, V, s, s, C]`.
 * @param weight `[C, 1, k, k]`, k odd.
 * @param bias `[C]`.
 * @returns `[N, V, s, s, C]`.
 * @throws {RangeError} If the channels differ, k is even, or the indices do not fit.
 */
export function maskedDepthwise(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  { keep, restore, grid: [GH, GW] }: VisibleBlocks,
): Tensor {
  const [n, V, s, , C] = x.shape;
  const k = kernelSize(x.shape, C, weight.shape);
  if (sizeOf(keep.shape) !== n * V || sizeOf(restore.shape) !== n * GH * GW) {
    throw new RangeError(
      `Cannot place blocks [${x.shape}] by keep [${keep.shape}] and restore [${restore.shape}]`,
    );
  }
  const size = sizeOf(x.shape);
  const blocks = n * V;
  const correlate = (x: Tensor, bias: Tensor, flip: boolean): Tensor =>
    apply({
      name: flip ? "masked_depthwise_grad_input" : "masked_depthwise",
      key: `masked_depthwise:${x.shape}:${GH}:${GW}:${k}:${flip}`,
      outputs: [{ shape: x.shape, dtype: "f32" }],
      lowering: {
        kind: "kernel",
        dispatches: () => [
          dispatch(
            "maskedDepthwise",
            { V, s, C, GH, GW, k, flip, size },
            [0, 1, 2, 3, 4, 5],
            workgroups(size),
          ),
        ],
      },
      vjp: flip ? undefined : ([dy], [x]) => [
        correlate(dy!, bias, true),
        weightGrad(dy!, x),
        sum(dy!, [0, 1, 2, 3]),
        undefined,
        undefined,
      ],
    }, [x, weight, bias, keep, restore]);
  const weightGrad = (dy: Tensor, x: Tensor): Tensor => {
    const chunk = Math.max(1, Math.ceil(blocks / 32));
    const partialSize = Math.ceil(blocks / chunk) * k * k * C;
    return tapsFirst(
      apply({
        name: "masked_depthwise_grad_weight",
        key: `masked_depthwise_grad_weight:${x.shape}:${GH}:${GW}:${k}`,
        outputs: [{ shape: [Math.ceil(blocks / chunk), k * k, C], dtype: "f32" }],
        lowering: {
          kind: "kernel",
          dispatches: () => [
            dispatch(
              "maskedDepthwiseGrad",
              { V, s, C, GH, GW, k, blocks, chunk, size: partialSize },
              [0, 1, 2, 3, 4],
              workgroups(partialSize),
            ),
          ],
        },
      }, [dy, x, keep, restore]),
      weight.shape,
    );
  };
  return correlate(x, bias, false);
}

/** Partial weight gradients [chunks, k · k, C] → [C, 1, k, k]. */
function tapsFirst(partial: Tensor, shape: Shape): Tensor {
  return reshape(permute(sum(partial, [0]), [1, 0]), shape);
}

function kernelSize(x: Shape, channels: number, weight: Shape): number {
  const k = weight.at(-1)!;
  if (weight[0] !== channels || k !== weight.at(-2) || k % 2 === 0) {
    throw new RangeError(
      `Cannot convolve [${x}] depthwise with [${weight}]: it takes [${channels}, 1, k, k], k odd`,
    );
  }
  return k;
}
