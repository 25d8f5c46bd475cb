/**
 * Parts of maps, cut out and brought to one size.
 *
 * @module
 */
import { apply, applyAll, dispatch, workgroups } from "../op.ts";
import { sizeOf, type Tensor } from "../tensor.ts";

/** How regions are cut out. */
export interface RoiAlignOptions {
  /** From the pixels that regions are given in to the map's cells. */
  readonly scale: number;
  /** Bins along a side of the result. */
  readonly output: number;
  /** Samples along a side of a bin; 0, the default, for as many as it has cells. */
  readonly samplingRatio?: number;
  /** Whether a pixel's centre is at 0.5, the default. Without it regions are at least one cell wide. */
  readonly aligned?: boolean;
}

/** Cells along a side of the tiles for which the gradient looks up the regions that reach them. */
const TILE = 8;

/**
 * RoIAlign (arXiv:1703.06870), as torchvision's `roi_align`.
 *
 * @param features Maps `[N, H, W, C]`.
 * @param rois `[R, 5]`: the number of the map, x0, y0, x1, y1. They have no gradient. A number below 0
 *   gives zeros.
 * @returns `[R, output, output, C]`.
 * @throws {RangeError} If the shapes are others.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openDevice, read, roiAlign, tensor } from "@mcmae/mcmae";
 *
 * const features = tensor([1, 2, 3, 4], [1, 2, 2, 1]);
 * const rois = tensor([0, 0, 0, 2, 2], [1, 5]);
 * const mean = roiAlign(features, rois, { scale: 1, output: 1 });
 * assert.deepEqual([...await read(await openDevice(), mean)], [2.5]);
 * ```
 */
export function roiAlign(features: Tensor, rois: Tensor, options: RoiAlignOptions): Tensor {
  const { scale, output: bins, samplingRatio: samples = 0, aligned = true } = options;
  const [, H, W, C] = features.shape;
  const [R, columns] = rois.shape;
  if (features.shape.length !== 4 || rois.shape.length !== 2 || columns !== 5) {
    throw new RangeError(`Cannot cut regions [${rois.shape}] out of [${features.shape}]`);
  }
  const shape = [R, bins, bins, C];
  const lanes = C % 4 === 0 ? 4 : 1;
  const size = sizeOf(shape) / lanes;
  const key = `${features.shape}:${R}:${bins}:${samples}:${scale}:${aligned}`;
  return apply({
    name: "roi_align",
    key: `roi_align:${key}`,
    outputs: [{ shape, dtype: "f32" }],
    activation: "follows",
    lowering: {
      kind: "kernel",
      dispatches: () => {
        const constants = { H, W, C: C / lanes, bins, samples, scale, aligned, size };
        return [dispatch("roiAlign", constants, [0, 1, 2], workgroups(size), lanes)];
      },
    },
    vjp: ([dy]) => [gradient(dy!, rois, features, { scale, bins, samples, aligned }), undefined],
  }, [features, rois]);
}

interface Sampling {
  readonly scale: number;
  readonly bins: number;
  readonly samples: number;
  readonly aligned: boolean;
}

/** Every cell gathers from the bins that it is in: no atomics. */
function gradient(
  dy: Tensor,
  rois: Tensor,
  { shape }: Tensor,
  { scale, bins, samples, aligned }: Sampling,
): Tensor {
  const [N, H, W, C] = shape;
  const [R] = rois.shape;
  const lanes = C % 4 === 0 ? 4 : 1;
  const size = sizeOf(shape) / lanes;
  const words = Math.ceil(R / 32);
  const tiles = N * Math.ceil(H / TILE) * Math.ceil(W / TILE);
  const shared = { H, W, samples, scale, aligned, side: TILE, words };
  const [dx] = applyAll({
    name: "roi_align_grad",
    key: `roi_align_grad:${shape}:${R}:${bins}:${samples}:${scale}:${aligned}`,
    // The gradient; which regions reach which tiles.
    outputs: [{ shape, dtype: "f32" }, { shape: [tiles, words], dtype: "u32" }],
    activation: "follows",
    lowering: {
      kind: "kernel",
      dispatches: () => [
        dispatch(
          "roiAlignTiles",
          { ...shared, R, size: tiles * words },
          [1, 3],
          workgroups(tiles * words),
        ),
        dispatch(
          "roiAlignGrad",
          { ...shared, C: C / lanes, bins, size },
          [0, 1, 3, 2],
          workgroups(size),
          lanes,
        ),
      ],
    },
  }, [dy, rois]);
  return dx;
}
