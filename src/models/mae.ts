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
import { stridedConvolution } from "./patches.ts";
import {
  type BlockParams,
  type Branch,
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

/** The vision transformer: what is left of the autoencoder once it is pretrained. */
export type VitParams = {
  readonly cls_token: Tensor;
  readonly pos_embed: Tensor;
  readonly patch_embed: { readonly proj: Affine };
  readonly blocks: readonly BlockParams[];
};

export type MaeParams = DecoderParams & VitParams & { readonly norm: Affine };

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
  const { cls, patches } = embed(params, images);
  const visible = gather(patches, keep, restore);
  let x = concat([cls, visible], 1);
  for (const block of params.blocks) x = transformerBlock(x, block, settings.heads);
  return norm(x, params.norm, TRANSFORMER_EPS);
}

/**
 * The transformer on whole images without a mask.
 *
 * @param images `[N, H, W, C]`.
 * @param branchOf What becomes of the residual branches of block i.
 * @returns Every block's output in order, `blocks.0` …, each `[N, 1 + L, C]`: a class token first.
 */
export function encodeVit(
  params: VitParams,
  { heads }: Pick<MaeSettings, "heads">,
  images: Tensor,
  branchOf: (block: number) => Branch = () => (x) => x,
): Record<string, Tensor> {
  const { cls, patches } = embed(params, images);
  const layers: Record<string, Tensor> = {};
  let x = concat([cls, patches], 1);
  params.blocks.forEach((block, i) =>
    x = layers[`blocks.${i}`] = transformerBlock(x, block, heads, branchOf(i))
  );
  return layers;
}

/** Class token `[N, 1, C]` and patches `[N, L, C]`, both with their positions. */
function embed({ patch_embed: { proj }, pos_embed, cls_token }: VitParams, images: Tensor) {
  const [n] = images.shape;
  const map = stridedConvolution(images, proj);
  const [, GH, GW, width] = map.shape;
  const patches = add(
    reshape(map, [n, GH * GW, width]),
    slice(pos_embed, 1, 1, GH * GW + 1),
  );
  const cls = broadcastTo(add(cls_token, slice(pos_embed, 1, 0, 1)), [n, 1, width]);
  return { cls, patches };
}
