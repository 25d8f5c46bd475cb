/**
 * MAE with a plain ViT (arXiv:2111.06377), the baseline. Shares decoder, masking and loss with MCMAE.
 *
 * @module
 */
import { type Affine, type Initializer, initNorm, initProjection } from "../init.ts";
import { gather } from "../ops/gather.ts";
import { add, broadcastTo } from "../ops/map.ts";
import { concat, reshape, slice } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";
import {
  type AutoencoderSettings,
  type DecoderParams,
  initDecoder,
  initMaskToken,
  type MaskedImages,
  positions,
} from "./decoder.ts";
import { gridOf, stridedConvolution } from "./patches.ts";
import {
  type BlockParams,
  initBlock,
  norm,
  TRANSFORMER_EPS,
  transformerBlock,
} from "./transformer.ts";

export interface MaeSettings extends AutoencoderSettings {
  readonly kind: "mae";
  readonly patchSize: number;
  readonly embedDim: number;
  readonly depth: number;
  /** Of the encoder and the decoder. */
  readonly mlpRatio: number;
}

export type MaeParams = DecoderParams & {
  readonly cls_token: Tensor;
  readonly pos_embed: Tensor;
  readonly patch_embed: { readonly proj: Affine };
  readonly blocks: readonly BlockParams[];
  readonly norm: Affine;
};

/** Draws parameters as the published code does. */
export function initMae(settings: MaeSettings, draw: Initializer): MaeParams {
  const { embedDim, patchSize, depth, mlpRatio, decoderDim } = settings;
  return {
    cls_token: draw.normal([1, 1, embedDim], 0.02),
    pos_embed: positions(settings, patchSize, embedDim, true),
    mask_token: initMaskToken(draw, decoderDim),
    decoder_pos_embed: positions(settings, patchSize, decoderDim, true),
    patch_embed: { proj: initProjection(draw, settings.channels, embedDim, patchSize) },
    blocks: Array.from({ length: depth }, () => initBlock(draw, embedDim, mlpRatio)),
    norm: initNorm(embedDim),
    ...initDecoder(draw, settings, embedDim, mlpRatio, patchSize),
  };
}

/**
 * Encodes the visible patches behind a class token.
 *
 * @returns `[N, 1 + V, C]`.
 */
export function encodeMae(
  params: MaeParams,
  settings: MaeSettings,
  { images, keep, restore }: MaskedImages,
): Tensor {
  const [n] = images.shape;
  const [GH, GW] = gridOf(settings.imageSize, settings.patchSize);
  const L = GH * GW;
  const width = settings.embedDim;
  const patches = reshape(stridedConvolution(images, params.patch_embed.proj), [n, L, width]);
  const placed = add(patches, slice(params.pos_embed, 1, 1, L + 1));
  const cls = add(params.cls_token, slice(params.pos_embed, 1, 0, 1));
  const visible = gather(placed, keep, restore);
  let x = concat([broadcastTo(cls, [n, 1, width]), visible], 1);
  for (const block of params.blocks) x = transformerBlock(x, block, settings.heads);
  return norm(x, params.norm, TRANSFORMER_EPS);
}
