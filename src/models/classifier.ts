/**
 * Classifiers on pretrained encoders, of images and of clips, as the published `ConvViT` and the
 * `VisionTransformer` of MAE and VideoMAE are fine-tuned.
 *
 * @module
 */
import { type Affine, constant, type Initializer, initNorm } from "../init.ts";
import { dropPath } from "../ops/drop_path.ts";
import { mean } from "../ops/reduce.ts";
import { reshape, slice } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";
import {
  blocksOf,
  encodeLayers,
  type EncoderParams,
  type EncoderSettings,
  patchTokens,
  transformerOf,
  type VideoEncoderSettings,
  widthOf,
} from "./encoder.ts";
import { initMae } from "./mae.ts";
import { initMcmae } from "./mcmae.ts";
import type { McmaeStages } from "./mcmae_stages.ts";
import { affine, type Branch, norm, TRANSFORMER_EPS } from "./transformer.ts";
import { initVideoMae } from "./videomae.ts";
import { initVideoMcmae } from "./videomcmae.ts";

/** Settings of a classifier. */
export interface ClassifierSettings<
  Encoder extends EncoderSettings | VideoEncoderSettings = EncoderSettings,
> {
  readonly encoder: Encoder;
  /** Number of classes, K. */
  readonly classes: number;
  /**
   * What the head takes: the mean of the tokens, then `fc_norm`; or, after `norm`, the first token:
   * the class token of MAE's ViT, the top left patch of the others, which have none.
   */
  readonly pooling: "mean" | "token";
  /** Stochastic depth of the last block; it grows from 0 at the first. */
  readonly dropPath: number;
}

/** Settings of a classifier of images or clips. */
type AnySettings = ClassifierSettings<EncoderSettings | VideoEncoderSettings>;

export type ClassifierParams = EncoderParams & {
  readonly fc_norm?: Affine;
  readonly norm?: Affine;
  readonly head: Affine;
};

/** Draws that a sample needs for stochastic depth: one for each residual branch. */
export function pathsOf({ encoder }: Pick<AnySettings, "encoder">): number {
  return 2 * blocksOf(encoder);
}

/**
 * Draws parameters: the encoder's as for pretraining, the head's as small as the published code's
 * (N(0, 2e-5)), so that fine-tuning begins without a preference.
 */
export function initClassifier(
  { encoder, classes, pooling }: AnySettings,
  draw: Initializer,
): ClassifierParams {
  const width = widthOf(encoder);
  return {
    ...initEncoder(encoder, draw),
    [pooling === "mean" ? "fc_norm" : "norm"]: initNorm(width),
    head: { weight: draw.normal([classes, width], 2e-5), bias: constant([classes], 0) },
  };
}

/** An autoencoder's parameters without the norm, the decoder, and what joins scales. */
function initEncoder(settings: AnySettings["encoder"], draw: Initializer): EncoderParams {
  switch (settings.kind) {
    case "mae":
      return vitOf(initMae(settings, draw));
    case "mcmae":
      return stagesOf(initMcmae(settings, draw));
    case "videomcmae":
      return stagesOf(initVideoMcmae(settings, draw));
    case "videomae": {
      const { encoder: { patch_embed, blocks } } = initVideoMae(settings, draw);
      return { patch_embed, blocks };
    }
  }
}

/** Stages of an autoencoder, without what joins scales and decodes. */
export function stagesOf(params: ReturnType<typeof initMcmae>): McmaeStages {
  const { pos_embed, patch_embed1, patch_embed2, patch_embed3, patch_embed4 } = params;
  const { blocks1, blocks2, blocks3 } = params;
  return {
    ...{ pos_embed, patch_embed1, patch_embed2, patch_embed3, patch_embed4 },
    ...{ blocks1, blocks2, blocks3 },
  };
}

function vitOf({ cls_token, pos_embed, patch_embed, blocks }: ReturnType<typeof initMae>) {
  return { cls_token, pos_embed, patch_embed, blocks };
}

/**
 * Encodes images or clips into what the head takes.
 *
 * @param images `[N, H, W, C]`, or clips `[N, T, H, W, C]`.
 * @param draws Uniform draws for stochastic depth, `[N, 2 · blocks]`; none at evaluation.
 * @returns `[N, C]`.
 */
export function classifierFeatures(
  params: ClassifierParams,
  settings: AnySettings,
  images: Tensor,
  draws?: Tensor,
): Tensor {
  const { encoder, pooling } = settings;
  const branchOf = draws && ((block: number) => dropBranches(settings, draws, block));
  const tokens = Object.values(encodeLayers(params, encoder, images, branchOf)).at(-1)!;
  const [n, , C] = tokens.shape;
  if (pooling === "mean") {
    return norm(mean(patchTokens(encoder, tokens), [1]), params.fc_norm!, TRANSFORMER_EPS);
  }
  return reshape(slice(norm(tokens, params.norm!, TRANSFORMER_EPS), 1, 0, 1), [n, C]);
}

/** Class scores of features, `[N, C]` → `[N, K]`. */
export function logitsOf({ head }: Pick<ClassifierParams, "head">, features: Tensor): Tensor {
  return affine(features, head);
}

/** Drops a block's two branches, each by a draw of its own, as timm does. */
export function dropBranches(
  { encoder, dropPath: rate }: Pick<AnySettings, "encoder" | "dropPath">,
  draws: Tensor,
  block: number,
): Branch {
  const blocks = blocksOf(encoder);
  const own = blocks === 1 ? 0 : rate * block / (blocks - 1);
  return (x, which) => {
    const at = 2 * block + which;
    const column = slice(draws, 1, at, at + 1);
    return dropPath(x, reshape(column, [x.shape[0], ...x.shape.slice(1).map(() => 1)]), own);
  };
}

/**
 * Factors on the rate that fall from the head to the first layer, as the published `lr_decay.py` has
 * them: patch embeddings, convolution stages and positions are one layer, each transformer block is
 * another, the head's is the last.
 *
 * @param decay Factor from one layer to the one before it.
 * @returns From a parameter's path to its factor.
 */
export function layerDecay(
  encoder: EncoderSettings | VideoEncoderSettings,
  decay: number,
): (path: string) => number {
  const [blocks, depth] = transformerOf(encoder);
  const last = depth + 1;
  const first = /^(pos_embed|cls_token|patch_embed\d?|blocks[12])(\.|$)/;
  return (path) => {
    if (first.test(path)) return decay ** last;
    const [name, index] = path.split(".");
    return name === blocks ? decay ** (last - Number(index) - 1) : 1;
  };
}

/** Which parameters of a classifier decay: not those of one axis, nor the tables and tokens. */
export function classifierDecays(path: string, { shape }: Tensor): boolean {
  return shape.length > 1 && path !== "pos_embed" && path !== "cls_token";
}
