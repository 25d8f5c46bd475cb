/**
 * The heads of Mask R-CNN (arXiv:1703.06870) on regions of a pyramid, as detectron2 has them, by its
 * names: `box_head.…`, `box_predictor.…`, `mask_head.…`. Maps are `[R, H, W, C]`.
 *
 * @module
 */
import { type Affine, constant, type Initializer } from "../init.ts";
import { add, relu } from "../ops/map.ts";
import { roiAlign } from "../ops/roi_align.ts";
import { permute, reshape } from "../ops/shape.ts";
import { transposedConvolution } from "../ops/transposed_convolution.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import type { Normalise } from "./batch_norm.ts";
import {
  drawMsra,
  drawXavier,
  type NormedConvolution,
  normedConvolution,
  type NormKind,
  withNorm,
} from "./normed_convolution.ts";
import { affine } from "./transformer.ts";

/** Bins along a side of a region: for its box, and for its mask. */
export const BOX_BINS = 7;
export const MASK_BINS = 14;

type Four = 1 | 2 | 3 | 4;

export type BoxHeadParams =
  & { readonly [name in `conv${Four}`]: NormedConvolution }
  & { readonly fc1: Affine };

export type BoxPredictorParams = {
  /** `[K + 1, width]`; the background is the last. */
  readonly cls_score: Affine;
  /** `[4 · K, width]`. */
  readonly bbox_pred: Affine;
};

export type MaskHeadParams =
  & { readonly [name in `mask_fcn${Four}`]: NormedConvolution }
  & { readonly deconv: Affine; readonly predictor: Affine };

export type RoiHeadsParams = {
  readonly box_head: BoxHeadParams;
  readonly box_predictor: BoxPredictorParams;
  readonly mask_head: MaskHeadParams;
};

/** Sizes of the heads. */
export interface RoiHeadsSettings {
  /** Of the pyramid and of all convolutions. */
  readonly channels: number;
  /** Width of the box head's linear layer. */
  readonly width: number;
  /** Number of classes, K. */
  readonly classes: number;
  readonly norm: NormKind;
}

/** Draws the heads. */
export function initRoiHeads(
  draw: Initializer,
  { channels, width, classes, norm }: RoiHeadsSettings,
): RoiHeadsParams {
  const four = <Name extends string>(name: Name) =>
    Object.fromEntries([1, 2, 3, 4].map((i) => [
      `${name}${i}`,
      withNorm(drawMsra(draw, [channels, channels, 3, 3]), norm),
    ])) as { readonly [key in `${Name}${Four}`]: NormedConvolution };
  const layer = (weight: Tensor, outputs = weight.shape[0]): Affine => ({
    ...{ weight, bias: constant([outputs], 0) },
  });
  return {
    box_head: {
      ...four("conv"),
      fc1: layer(drawXavier(draw, [width, channels * BOX_BINS ** 2])),
    },
    box_predictor: {
      cls_score: layer(draw.normal([classes + 1, width], 0.01)),
      bbox_pred: layer(draw.normal([4 * classes, width], 0.001)),
    },
    mask_head: {
      ...four("mask_fcn"),
      deconv: layer(drawMsra(draw, [channels, channels, 2, 2]), channels),
      predictor: layer(draw.normal([classes, channels, 1, 1], 0.001)),
    },
  };
}

/**
 * Cuts regions out of the map that each belongs to.
 *
 * @param maps p2 … `[N, H, W, C]`.
 * @param regions For each map `[R, 5]`, see `regionsByLevel`; those of other maps give zeros.
 * @param strides Pixels between the cells of each map.
 * @returns `[R, bins, bins, C]`.
 */
export function poolRegions(
  maps: readonly Tensor[],
  regions: readonly Tensor[],
  bins: number,
  strides: readonly number[] = [4, 8, 16, 32],
): Tensor {
  return regions.map((rois, level) =>
    roiAlign(maps[level], rois, { scale: 1 / strides[level], output: bins })
  ).reduce((total, part) => add(total, part));
}

/** `[R, bins, bins, C]` → `[R, width]`. */
export function boxHead(params: BoxHeadParams, x: Tensor, normalise: Normalise): Tensor {
  const { conv1, conv2, conv3, conv4, fc1 } = params;
  const map = convolve(x, [conv1, conv2, conv3, conv4], normalise);
  // Its weights are by channel first.
  const flat = reshape(permute(map, [0, 3, 1, 2]), [map.shape[0], sizeOf(map.shape.slice(1))]);
  return relu(affine(flat, fc1));
}

/** What the box head says of regions. */
export type BoxOutputs = {
  /** Scores of the classes and of the background, `[R, K + 1]`. */
  readonly logits: Tensor;
  /** A box for each class, `[R, K, 4]`. */
  readonly deltas: Tensor;
};

/** `[R, width]` → scores and boxes. */
export function predictBoxes({ cls_score, bbox_pred }: BoxPredictorParams, x: Tensor): BoxOutputs {
  const deltas = affine(x, bbox_pred);
  const [R, columns] = deltas.shape;
  return { logits: affine(x, cls_score), deltas: reshape(deltas, [R, columns / 4, 4]) };
}

/** `[R, bins, bins, C]` → a mask for each class, as logits `[R, 2 · bins, 2 · bins, K]`. */
export function maskHead(params: MaskHeadParams, x: Tensor, normalise: Normalise): Tensor {
  const { mask_fcn1, mask_fcn2, mask_fcn3, mask_fcn4, deconv, predictor } = params;
  const map = convolve(x, [mask_fcn1, mask_fcn2, mask_fcn3, mask_fcn4], normalise);
  return affine(relu(transposedConvolution(map, deconv.weight, deconv.bias)), predictor);
}

function convolve(
  x: Tensor,
  layers: readonly NormedConvolution[],
  normalise: Normalise,
): Tensor {
  return layers.reduce(
    (y, layer) => relu(normedConvolution(y, layer, normalise, { padding: 1 })),
    x,
  );
}
