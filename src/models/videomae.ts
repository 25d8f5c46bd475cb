/**
 * VideoMAE with a plain ViT (arXiv:2203.12602), the baseline of VideoMCMAE.
 *
 * Parameters bear the names and shapes of the published checkpoints. Positions are fixed tables, which
 * are no parameters; keys have no bias. Clips are `[N, T, H, W, C]`.
 *
 * @module
 */
import {
  type Affine,
  constant,
  initConvolution,
  type Initializer,
  initLinear,
  initNorm,
} from "../init.ts";
import { gather } from "../ops/gather.ts";
import { add, mul } from "../ops/map.ts";
import { linear } from "../ops/matmul.ts";
import { concat, reshape } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";
import { clipGrid, clipPositions, type ClipSettings } from "./clips.ts";
import { initMaskToken, type MaskedImages } from "./decoder.ts";
import { stridedConvolution, visiblePixels, visiblePositions } from "./patches.ts";
import {
  affine,
  type BlockParams,
  type Branch,
  initBlock,
  norm,
  TRANSFORMER_EPS,
  transformerBlock,
} from "./transformer.ts";

/** Sizes of a VideoMAE. */
export interface VideoMaeSettings extends ClipSettings {
  readonly kind: "videomae";
  readonly patchSize: number;
  readonly embedDim: number;
  readonly depth: number;
  /** Of the encoder and the decoder. */
  readonly mlpRatio: number;
  /** Layer scale of every block at first; 0 leaves it out, as published for pretraining. */
  readonly initValues: number;
}

/** A block whose keys have no bias: `q_bias` and `v_bias` `[C]`. */
export type VideoBlockParams = Omit<BlockParams, "attn"> & {
  readonly attn: {
    readonly q_bias: Tensor;
    readonly v_bias: Tensor;
    readonly qkv: Pick<Affine, "weight">;
    readonly proj: Affine;
  };
};

/** The vision transformer: what is left of the autoencoder once it is pretrained. */
export type VideoVitParams = {
  readonly patch_embed: { readonly proj: Affine };
  readonly blocks: readonly VideoBlockParams[];
};

/** All parameters, by the published names. */
export type VideoMaeParams = {
  readonly mask_token: Tensor;
  readonly encoder: VideoVitParams & { readonly norm: Affine };
  readonly decoder: {
    readonly blocks: readonly VideoBlockParams[];
    readonly norm: Affine;
    readonly head: Affine;
  };
  readonly encoder_to_decoder: Pick<Affine, "weight">;
};

/** Draws parameters as the published code does. */
export function initVideoMae(settings: VideoMaeSettings, draw: Initializer): VideoMaeParams {
  const { channels, tubelet, patchSize: p, embedDim, decoderDim } = settings;
  const blocks = (depth: number, width: number) =>
    Array.from({ length: depth }, () => initVideoBlock(draw, width, settings));
  const { weight, bias } = initConvolution(draw, channels * tubelet, embedDim, p);
  const shape = [embedDim, channels, tubelet, p, p];
  const { weight: toDecoder } = initLinear(draw, embedDim, decoderDim);
  return {
    mask_token: initMaskToken(draw, decoderDim),
    encoder: {
      patch_embed: { proj: { weight: { ...weight, shape }, bias } },
      blocks: blocks(settings.depth, embedDim),
      norm: initNorm(embedDim),
    },
    decoder: {
      blocks: blocks(settings.decoderDepth, decoderDim),
      norm: initNorm(decoderDim),
      head: initLinear(draw, decoderDim, tubelet * p * p * channels),
    },
    encoder_to_decoder: { weight: toDecoder },
  };
}

function initVideoBlock(
  draw: Initializer,
  width: number,
  { mlpRatio, initValues }: VideoMaeSettings,
): VideoBlockParams {
  const { norm1, attn: { qkv, proj }, norm2, mlp } = initBlock(draw, width, mlpRatio);
  const zeros = () => constant([width], 0);
  const scale = () => constant([width], initValues);
  return {
    ...(initValues > 0 && { gamma_1: scale(), gamma_2: scale() }),
    norm1,
    attn: { q_bias: zeros(), v_bias: zeros(), qkv: { weight: qkv.weight }, proj },
    norm2,
    mlp,
  };
}

/** `[N, L, C]` → `[N, L, C]`. */
export function videoBlock(
  x: Tensor,
  { attn: { q_bias, v_bias, qkv: { weight }, proj }, ...block }: VideoBlockParams,
  heads: number,
  branch?: Branch,
): Tensor {
  const bias = concat([q_bias, constant(q_bias.shape, 0), v_bias], 0);
  return transformerBlock(x, { ...block, attn: { qkv: { weight, bias }, proj } }, heads, branch);
}

/**
 * Encodes the visible cubes; only they are embedded.
 *
 * @returns `[N, V, C]`.
 */
export function encodeVideoMae(
  { encoder }: VideoMaeParams,
  settings: VideoMaeSettings,
  { images, keep, restore }: MaskedImages,
): Tensor {
  const { embedDim, heads } = settings;
  const { sizes } = clipGrid(settings, settings.patchSize);
  const cubes = visiblePixels(images, sizes, { keep, restore });
  const embedded = reshape(stridedConvolution(cubes, encoder.patch_embed.proj), [
    ...keep.shape,
    embedDim,
  ]);
  const positions = clipPositions(restore.shape[1], embedDim);
  let x = add(embedded, visiblePositions(positions, { keep, restore }));
  for (const block of encoder.blocks) x = videoBlock(x, block, heads);
  return norm(x, encoder.norm, TRANSFORMER_EPS);
}

/**
 * Predicts every cube from the visible tokens. The published code puts removed tokens last and
 * predicts them alone: the same numbers, since attention does not ask for order, nor the loss for
 * visible cubes.
 *
 * @param latent `[N, V, C]`.
 * @returns `[N, L, tubelet · P · P · channels]`.
 */
export function decodeVideoMae(
  { decoder, encoder_to_decoder, mask_token }: VideoMaeParams,
  settings: VideoMaeSettings,
  latent: Tensor,
  { keep, restore, removed }: Omit<MaskedImages, "images">,
): Tensor {
  const [n, L] = restore.shape;
  const visible = gather(linear(latent, encoder_to_decoder.weight), restore, keep);
  const filled = add(visible, mul(reshape(removed, [n, L, 1]), mask_token));
  let x = add(filled, clipPositions(L, settings.decoderDim));
  for (const block of decoder.blocks) x = videoBlock(x, block, settings.decoderHeads);
  return affine(norm(x, decoder.norm, TRANSFORMER_EPS), decoder.head);
}

/**
 * The transformer on whole clips without a mask.
 *
 * @param clips `[N, T, H, W, C]`.
 * @param branchOf What becomes of the residual branches of block i.
 * @returns Every block's output in order, `blocks.0` …, each `[N, L, C]`.
 */
export function encodeVideoVit(
  { patch_embed: { proj }, blocks }: VideoVitParams,
  { heads }: Pick<VideoMaeSettings, "heads">,
  clips: Tensor,
  branchOf: (block: number) => Branch = () => (x) => x,
): Record<string, Tensor> {
  const map = stridedConvolution(clips, proj);
  const [n, S, GH, GW, width] = map.shape;
  const L = S * GH * GW;
  const layers: Record<string, Tensor> = {};
  let x = add(reshape(map, [n, L, width]), clipPositions(L, width));
  blocks.forEach((block, i) =>
    x = layers[`blocks.${i}`] = videoBlock(x, block, heads, branchOf(i))
  );
  return layers;
}
