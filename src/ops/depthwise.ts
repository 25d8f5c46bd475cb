/**
 * Depthwise convolutions, stride 1, zero padding: dense, and over visible blocks only; over space, or
 * over space and time.
 *
 * @module
 */
import { apply, applyAll, dispatch, type Target, workgroups } from "../op.ts";
import { type Shape, sizeOf, type Tensor } from "../tensor.ts";
import { permute, reshape } from "./shape.ts";
import { sum } from "./reduce.ts";

/** Neighbouring results that an invocation of a kernel computes: in a row of a map, of a block. */
const STRIP = 8;
const BLOCK_STRIP = 4;

/** Neighbouring rows of such results that a tile has. */
const TILE_ROWS = 4;

/**
 * Neighbouring taps whose gradients an invocation of a kernel computes. CPU adapters, for which loads
 * cost far more than room for sums, take kernels no wider than this in tiles, and the gradients of all
 * taps at once; each sum keeps its order.
 */
const TAPS = 5;

/**
 * Depthwise convolution of whole maps.
 *
 * @param x `[N, H, W, C]`, or of clips `[N, S, H, W, C]` in S time slots.
 * @param weight `[C, 1, k, k]`, k odd; of clips `[C, 1, kt, k, k]`, kt odd too.
 * @param bias `[C]`.
 * @returns The shape of x.
 * @throws {RangeError} If the channels or the numbers of axes differ, or k or kt is even.
 */
export function depthwise(x: Tensor, weight: Tensor, bias: Tensor): Tensor {
  const [C, W, H, S = 1] = x.shape.slice(1).toReversed();
  const [kt, k] = kernelSizes(x.shape, x.shape.length - 2, weight.shape);
  const lanes = C % 4 === 0 ? 4 : 1;
  const rows = sizeOf(x.shape) / W / C;
  const sizes = { S, H, W, C: C / lanes, kt, k };
  const tiled = ({ cpu }: Target) => cpu && k <= TAPS;
  const correlate = (x: Tensor, taps: Tensor, bias: Tensor, flip: boolean): Tensor =>
    apply({
      name: flip ? "depthwise_grad_input" : "depthwise",
      key: `depthwise:${x.shape}:${kt}:${k}:${flip}`,
      outputs: [{ shape: x.shape, dtype: "f32" }],
      flops: 2 * kt * k * k * sizeOf(x.shape),
      activation: "follows",
      lowering: {
        kind: "kernel",
        dispatches: (target) => {
          const kernel = tiled(target) ? "depthwiseTile" : "depthwise";
          const lines = tiled(target) ? rows / H * Math.ceil(H / TILE_ROWS) : rows;
          const size = lines * Math.ceil(W / STRIP) * C / lanes;
          const constants = { ...sizes, flip, size };
          return [dispatch(kernel, constants, [0, 1, 2, 3], workgroups(size), lanes)];
        },
      },
      vjp: flip ? undefined : ([dy], [x, taps]) => [
        correlate(dy!, taps, bias, true),
        ...parameterGrads(dy!, x),
      ],
    }, [x, taps, bias]);
  const parameterGrads = (dy: Tensor, x: Tensor): Tensor[] => {
    const chunk = chunkOf(rows, W);
    const chunks = Math.ceil(rows / chunk);
    const partial = applyAll({
      name: "depthwise_grad_weight",
      key: `depthwise_grad_weight:${x.shape}:${kt}:${k}`,
      outputs: [
        { shape: [chunks, kt * k * k, C], dtype: "f32" },
        { shape: [chunks, C], dtype: "f32" },
      ],
      flops: (2 * kt * k * k + 1) * sizeOf(x.shape), // and the bias
      lowering: {
        kind: "kernel",
        dispatches: (target) => {
          const kernel = tiled(target) ? "depthwiseGradTile" : "depthwiseGrad";
          const parts = tiled(target) ? 1 : k * Math.ceil(k / TAPS);
          const size = chunks * kt * parts * C / lanes;
          const constants = { ...sizes, rows, chunk, size };
          return [dispatch(kernel, constants, [0, 1, 2, 3], workgroups(size), lanes)];
        },
      },
    }, [dy, x]);
    return partial.map((part) => sum(part, [0]));
  };
  return correlate(x, channelsLast(weight), bias, false);
}

/** The visible blocks of a map, as indices. */
export interface VisibleBlocks {
  /** Place of each visible block in the grid, `[N, V]`, u32. */
  readonly keep: Tensor;
  /** For each place its block, V or more where it is removed: `[N, GH · GW]`, `[N, S · GH · GW]`, u32. */
  readonly restore: Tensor;
  /** Blocks in a column and in a row of the map; of clips the time slots come first. */
  readonly grid: readonly [GH: number, GW: number] | readonly [S: number, GH: number, GW: number];
}

/**
 * Masked depthwise convolution (MCMAE, arXiv:2205.03892, sections 2.2 and 2.4) over visible blocks
 * only: the same values as convolving the whole map after zeroing its removed blocks. A block is
 * removed in one time slot, or in all (tubes): any mask will do.
 *
 * @param x Visible blocks `[N, V, s, s, C]`, each of one slot.
 * @param weight `[C, 1, k, k]`, k odd; with time slots `[C, 1, kt, k, k]`, kt odd too.
 * @param bias `[C]`.
 * @returns `[N, V, s, s, C]`.
 * @throws {RangeError} If the channels or the numbers of axes differ, k or kt is even, or the indices
 * do not fit.
 */
export function maskedDepthwise(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  { keep, restore, grid }: VisibleBlocks,
): Tensor {
  const [n, V, s, , C] = x.shape;
  const [GW, GH, S = 1] = grid.toReversed();
  const [kt, k] = kernelSizes(x.shape, grid.length, weight.shape);
  if (sizeOf(keep.shape) !== n * V || sizeOf(restore.shape) !== n * sizeOf(grid)) {
    throw new RangeError(
      `Cannot place blocks [${x.shape}] by keep [${keep.shape}] and restore [${restore.shape}]`,
    );
  }
  const lanes = C % 4 === 0 ? 4 : 1;
  const blocks = n * V;
  const size = blocks * s * Math.ceil(s / BLOCK_STRIP) * C / lanes;
  const correlate = (x: Tensor, taps: Tensor, bias: Tensor, flip: boolean): Tensor =>
    apply({
      name: flip ? "masked_depthwise_grad_input" : "masked_depthwise",
      key: `masked_depthwise:${x.shape}:${grid}:${kt}:${k}:${flip}`,
      outputs: [{ shape: x.shape, dtype: "f32" }],
      flops: 2 * kt * k * k * sizeOf(x.shape), // all taps of visible cells, removed neighbours' too
      activation: "follows",
      lowering: {
        kind: "kernel",
        dispatches: () => [
          dispatch(
            "maskedDepthwise",
            { V, s, C: C / lanes, S, GH, GW, kt, k, flip, size },
            [0, 1, 2, 3, 4, 5],
            workgroups(size),
            lanes,
          ),
        ],
      },
      vjp: flip ? undefined : ([dy], [x, taps]) => [
        correlate(dy!, taps, bias, true),
        ...parameterGrads(dy!, x),
        undefined,
        undefined,
      ],
    }, [x, taps, bias, keep, restore]);
  const parameterGrads = (dy: Tensor, x: Tensor): Tensor[] => {
    const chunk = chunkOf(blocks, s * s);
    const chunks = Math.ceil(blocks / chunk);
    const size = chunks * kt * k * Math.ceil(k / TAPS) * C / lanes;
    const partial = applyAll({
      name: "masked_depthwise_grad_weight",
      key: `masked_depthwise_grad_weight:${x.shape}:${grid}:${kt}:${k}`,
      outputs: [
        { shape: [chunks, kt * k * k, C], dtype: "f32" },
        { shape: [chunks, C], dtype: "f32" },
      ],
      flops: (2 * kt * k * k + 1) * sizeOf(x.shape), // and the bias
      lowering: {
        kind: "kernel",
        dispatches: () => [
          dispatch(
            "maskedDepthwiseGrad",
            { V, s, C: C / lanes, S, GH, GW, kt, k, blocks, chunk, size },
            [0, 1, 2, 3, 4, 5],
            workgroups(size),
            lanes,
          ),
        ],
      },
    }, [dy, x, keep, restore]);
    return partial.map((part) => sum(part, [0]));
  };
  return correlate(x, channelsLast(weight), bias, false);
}

/** Weights [C, 1, …] → [taps, C], so that neighbouring invocations read neighbouring values. */
function channelsLast(weight: Tensor): Tensor {
  const [C] = weight.shape;
  return permute(reshape(weight, [C, sizeOf(weight.shape) / C]), [1, 0]);
}

/**
 * How many of `parts` rows or blocks, of `places` each, one invocation adds: so few that a GPU is busy
 * and sums stay precise, so many that the partial sums are small beside the maps.
 */
function chunkOf(parts: number, places: number): number {
  const added = Math.min(Math.max(64, parts * places / 64), 1024);
  return Math.ceil(added / places);
}

/** Sizes of a kernel over `axes` axes, which are space, or time and space. */
function kernelSizes(x: Shape, axes: number, weight: Shape): [kt: number, k: number] {
  const [C] = x.slice(-1);
  const [k, rows, kt = 1] = weight.slice(2).toReversed();
  const fits = weight.length === axes + 2 && weight[0] === C && weight[1] === 1 && k === rows;
  if (!fits || k % 2 === 0 || kt % 2 === 0) {
    const expected = axes === 3 ? "1, kt, k, k], kt and k odd" : "1, k, k], k odd";
    throw new RangeError(
      `Cannot convolve [${x}] depthwise with [${weight}]: it takes [${C}, ${expected}`,
    );
  }
  return [kt, k];
}
