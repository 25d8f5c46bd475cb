/**
 * Semantic segmentation: UPerNet on MCMAE's encoder (arXiv:2205.03892, 3.3), as published with
 * mmsegmentation, by its names: `backbone.…`, `decode_head.…`, `auxiliary_head.…`.
 *
 * @module
 */
import type { Initializer } from "../init.ts";
import { labelCrossEntropy } from "../ops/cross_entropy.ts";
import { dropPath } from "../ops/drop_path.ts";
import { mul } from "../ops/map.ts";
import { mean } from "../ops/reduce.ts";
import { resizeBilinear } from "../ops/resample.ts";
import { reshape, slice } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";
import {
  backboneMaps,
  type BackboneParams,
  type BackboneSettings,
  initBackbone,
} from "./backbone.ts";
import { byRunning, type Normalise } from "./batch_norm.ts";
import { dropBranches, layerDecay, pathsOf } from "./classifier.ts";
import {
  fcnHead,
  type FcnHeadParams,
  initFcnHead,
  initUperHead,
  uperHead,
  type UperHeadParams,
} from "./upernet.ts";

/** Share of the auxiliary head's loss. */
export const AUXILIARY_WEIGHT = 0.4;

/** Settings of a segmenter. */
export interface SegmenterSettings extends BackboneSettings {
  /** Number of classes, K. */
  readonly classes: number;
  /** Channels of UPerNet's maps, and of the auxiliary head's. */
  readonly headChannels: number;
  readonly auxiliaryChannels: number;
  /** Share of channels dropped before the scores. */
  readonly dropout: number;
  /** Stochastic depth of the last block; it grows from 0 at the first. */
  readonly dropPath: number;
}

export type SegmenterParams = {
  readonly backbone: BackboneParams;
  readonly decode_head: UperHeadParams;
  readonly auxiliary_head: FcnHeadParams;
};

/** Draws of a training step. */
export interface SegmenterDraws {
  /** For stochastic depth, `[N, 2 · blocks]`. */
  readonly paths: Tensor;
  /** For dropout, `[N, headChannels + auxiliaryChannels]`. */
  readonly drops: Tensor;
}

/** Draws parameters. */
export function initSegmenter(settings: SegmenterSettings, draw: Initializer): SegmenterParams {
  const { encoder: { embedDims }, classes, headChannels, auxiliaryChannels } = settings;
  const [C1, C2, C3] = embedDims;
  return {
    backbone: initBackbone(settings, draw),
    decode_head: initUperHead(draw, [C1, C2, C3, C3], { channels: headChannels, classes }),
    auxiliary_head: initFcnHead(draw, C3, { channels: auxiliaryChannels, classes }),
  };
}

/** Draws that a sample needs: `paths` and `drops` columns. */
export function drawsOf(settings: SegmenterSettings): { paths: number; drops: number } {
  return {
    paths: pathsOf(settings),
    drops: settings.headChannels + settings.auxiliaryChannels,
  };
}

/** Maps of four scales, see `backboneMaps`. */
export type Maps = ReturnType<typeof backboneMaps>;

/** How BatchNorms are applied, and what is dropped: by running moments and nothing, unless given. */
export interface SegmenterMode {
  readonly normalise?: Normalise;
  readonly draws?: SegmenterDraws;
}

/** Encodes images `[N, H, W, 3]`. */
export function segmenterMaps(
  { backbone }: SegmenterParams,
  settings: SegmenterSettings,
  images: Tensor,
  { normalise = byRunning, draws }: SegmenterMode = {},
): Maps {
  const branchOf = draws && settings.dropPath > 0
    ? (block: number) => dropBranches(settings, draws.paths, block)
    : undefined;
  return backboneMaps(backbone, settings, images, normalise, branchOf);
}

/** Scores of the pixels, with those of the auxiliary head, which only training needs. */
export interface Scores {
  /** `[N, H/4, W/4, K]`. */
  readonly logits: Tensor;
  /** `[N, H/16, W/16, K]`. */
  readonly auxiliary: Tensor;
}

/** Decodes maps by both heads. */
export function segmenterScores(
  { decode_head, auxiliary_head }: SegmenterParams,
  { headChannels, dropout }: SegmenterSettings,
  maps: Maps,
  { normalise = byRunning, draws }: SegmenterMode = {},
): Scores {
  const drop = (start: number) => (x: Tensor) => {
    if (!draws || dropout === 0) return x;
    const [n, , , C] = x.shape;
    return dropPath(x, reshape(slice(draws.drops, 1, start, start + C), [n, 1, 1, C]), dropout);
  };
  const { logits } = uperHead(decode_head, maps, { normalise, drop: drop(0) });
  const auxiliary = fcnHead(auxiliary_head, maps[2], { normalise, drop: drop(headChannels) });
  return { logits, auxiliary };
}

/** Parts of the loss, whose sum is minimised. */
export type SegmenterLosses = {
  readonly main: Tensor;
  /** With its weight, 0.4. */
  readonly auxiliary: Tensor;
};

/** Both heads' cross entropies with labels `[N, H, W]`, u32; those of K or more are ignored. */
export function segmenterLosses({ logits, auxiliary }: Scores, labels: Tensor): SegmenterLosses {
  return {
    main: pixelLoss(logits, labels),
    auxiliary: mul(pixelLoss(auxiliary, labels), AUXILIARY_WEIGHT),
  };
}

/**
 * Scores of every pixel, as at evaluation.
 *
 * @param images `[N, H, W, 3]`.
 * @returns `[N, H, W, K]`.
 */
export function segment(
  params: SegmenterParams,
  settings: SegmenterSettings,
  images: Tensor,
): Tensor {
  const maps = segmenterMaps(params, settings, images);
  const { logits } = uperHead(params.decode_head, maps, { normalise: byRunning });
  return resizeBilinear(logits, [images.shape[1], images.shape[2]]);
}

/**
 * Cross entropy of logits `[N, h, w, K]`, enlarged to labels `[N, H, W]`: the mean over all pixels, also
 * over those that are ignored and count 0.
 */
export function pixelLoss(logits: Tensor, labels: Tensor): Tensor {
  const [, H, W] = labels.shape;
  return mean(labelCrossEntropy(resizeBilinear(logits, [H, W]), labels));
}

/** Factors on the rate, as the published `LayerDecayOptimizerConstructor`: heads have 1. */
export function segmenterLayerDecay(
  settings: Pick<SegmenterSettings, "encoder">,
  decay: number,
): (path: string) => number {
  const factor = layerDecay(settings.encoder, decay);
  return (path) => path.startsWith("backbone.") ? factor(path.slice("backbone.".length)) : 1;
}

/** Which parameters decay: all of two axes or more; the published code means to spare positions, but does not. */
export function segmenterDecays(_path: string, { shape }: Tensor): boolean {
  return shape.length > 1;
}
