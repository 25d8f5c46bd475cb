/**
 * MCMAE: masked convolution meets masked autoencoders (arXiv:2205.03892), for images.
 *
 * Parameters bear the names and shapes of the published checkpoints. Maps are `[N, H, W, C]`.
 *
 * @module
 */
import {
  type Affine,
  initConvolution,
  type Initializer,
  initLinear,
  initNorm,
  initProjection,
} from "../init.ts";
import { depthwise, maskedDepthwise } from "../ops/depthwise.ts";
import { gather } from "../ops/gather.ts";
import { add, broadcastTo, gelu, minimum, mul, sub } from "../ops/map.ts";
import { sum } from "../ops/reduce.ts";
import { reshape } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";
import {
  type AutoencoderSettings,
  type DecoderParams,
  initDecoder,
  initMaskToken,
  type MaskedImages,
  positions,
} from "./decoder.ts";
import { gridOf, patchify, stridedConvolution } from "./patches.ts";
import {
  affine,
  type BlockParams,
  type Branch,
  initBlock,
  type Mlp,
  mlp,
  norm,
  TRANSFORMER_EPS,
  transformerBlock,
} from "./transformer.ts";

/** eps of the LayerNorms of patch embeddings and convolution blocks. */
const CONVOLUTION_EPS = 1e-5;

type Stages = readonly [number, number, number];

export interface McmaeSettings extends AutoencoderSettings {
  readonly kind: "mcmae";
  /** Stride of each stage's patch embedding. */
  readonly patchSizes: Stages;
  readonly embedDims: Stages;
  readonly depths: Stages;
  /** The decoder takes the first, as the published code does. */
  readonly mlpRatios: Stages;
  /** Side of the depthwise convolutions. */
  readonly kernelSize: number;
  /** `false`: masked cells leak into visible ones (Table 5). */
  readonly maskedConvolution: boolean;
  /** `token`: stage 1 masks its own tokens, all reach stage 3 (Table 5). */
  readonly masking: "block" | "token";
  /** `false`: the decoder sees stage 3 alone (Table 6). */
  readonly multiScaleDecoder: boolean;
  /** Where stages 1 and 2 are computed; both give the same numbers. */
  readonly evaluation: "visible" | "dense";
}

export type PatchEmbedParams = {
  readonly proj: Affine;
  readonly norm: Affine;
};

export type ConvBlockParams = {
  readonly norm1: Affine;
  readonly conv1: Affine;
  readonly conv2: Affine;
  readonly attn: Affine; // a depthwise convolution, in attention's place
  readonly norm2: Affine;
  readonly mlp: Mlp;
};

/** The three stages: what is left of the autoencoder once it is pretrained. */
export type McmaeStages = {
  readonly pos_embed: Tensor;
  readonly patch_embed1: PatchEmbedParams;
  readonly patch_embed2: PatchEmbedParams;
  readonly patch_embed3: PatchEmbedParams;
  readonly patch_embed4: Affine;
  readonly blocks1: readonly ConvBlockParams[];
  readonly blocks2: readonly ConvBlockParams[];
  readonly blocks3: readonly BlockParams[];
};

export type McmaeParams = DecoderParams & McmaeStages & {
  readonly stage1_output_decode?: Affine;
  readonly stage2_output_decode?: Affine;
  readonly norm: Affine;
};

/** What the encoder computes on the way, `latent` last. */
export type Encoded = {
  /** Stage outputs: `[N, H1, W1, C1]` dense, `[N, V, s, s, C1]` visible-only; then likewise. */
  readonly e1: Tensor;
  readonly e2: Tensor;
  /** Stage 3 on visible tokens, `[N, V, C3]`. */
  readonly e3: Tensor;
  /** Tokens before the position embedding, `[N, L, C3]` dense, `[N, V, C3]` visible-only. */
  readonly embedded: Tensor;
  readonly fused: Tensor;
  /** `[N, V, C3]`. */
  readonly latent: Tensor;
};

/** Pixels along the side of a final token. */
export function strideOf({ patchSizes }: Pick<McmaeSettings, "patchSizes">): number {
  return patchSizes[0] * patchSizes[1] * patchSizes[2];
}

/** Tokens that the mask is drawn over: final tokens, or stage 1's under token-wise masking. */
export function maskedTokens(settings: McmaeSettings): number {
  const stride = settings.masking === "token" ? settings.patchSizes[0] : strideOf(settings);
  const [GH, GW] = gridOf(settings.imageSize, stride);
  return GH * GW;
}

/** Draws parameters as the published code does: Xavier for linear layers, PyTorch's own for convolutions. */
export function initMcmae(settings: McmaeSettings, draw: Initializer): McmaeParams {
  const { embedDims: [C1, C2, C3], patchSizes: [p1, p2, p3], depths, mlpRatios } = settings;
  const stride = strideOf(settings);
  const block = (width: number, ratio: number) =>
    initConvBlock(draw, width, ratio, settings.kernelSize);
  return {
    pos_embed: positions(settings, stride, C3, false),
    mask_token: initMaskToken(draw, settings.decoderDim),
    decoder_pos_embed: positions(settings, stride, settings.decoderDim, false),
    patch_embed1: { proj: initConvolution(draw, settings.channels, C1, p1), norm: initNorm(C1) },
    patch_embed2: { proj: initConvolution(draw, C1, C2, p2), norm: initNorm(C2) },
    patch_embed3: { proj: initProjection(draw, C2, C3, p3), norm: initNorm(C3) },
    patch_embed4: initLinear(draw, C3, C3),
    ...(settings.multiScaleDecoder && {
      stage1_output_decode: initConvolution(draw, C1, C3, p2 * p3),
      stage2_output_decode: initConvolution(draw, C2, C3, p3),
    }),
    blocks1: Array.from({ length: depths[0] }, () => block(C1, mlpRatios[0])),
    blocks2: Array.from({ length: depths[1] }, () => block(C2, mlpRatios[1])),
    blocks3: Array.from({ length: depths[2] }, () => initBlock(draw, C3, mlpRatios[2])),
    norm: initNorm(C3),
    ...initDecoder(draw, settings, C3, mlpRatios[0], stride),
  };
}

function initConvBlock(
  draw: Initializer,
  width: number,
  mlpRatio: number,
  size: number,
): ConvBlockParams {
  return {
    norm1: initNorm(width),
    conv1: initConvolution(draw, width, width, 1),
    conv2: initConvolution(draw, width, width, 1),
    attn: initConvolution(draw, 1, width, size),
    norm2: initNorm(width),
    mlp: {
      fc1: initConvolution(draw, width, width * mlpRatio, 1),
      fc2: initConvolution(draw, width * mlpRatio, width, 1),
    },
  };
}

/** How a block convolves the maps of its stage. */
type Convolve = (x: Tensor, layer: Affine) => Tensor;

/** `[N, H, W, C]` → `[N, H/p, W/p, O]`. */
export function patchEmbed(x: Tensor, { proj, norm: layer }: PatchEmbedParams): Tensor {
  return gelu(norm(stridedConvolution(x, proj), layer, CONVOLUTION_EPS));
}

/** Convolution block, `[N, H, W, C]` → the same. */
export function convBlock(
  x: Tensor,
  block: ConvBlockParams,
  convolve: Convolve,
  branch: Branch = (x) => x,
): Tensor {
  const inside = affine(norm(x, block.norm1, CONVOLUTION_EPS), block.conv1);
  const y = add(x, branch(affine(convolve(inside, block.attn), block.conv2)));
  return add(y, branch(mlp(norm(y, block.norm2, CONVOLUTION_EPS), block.mlp)));
}

/**
 * The three stages on whole images without a mask, as the published `ConvViT` applies them.
 *
 * @param images `[N, H, W, C]`.
 * @param branchOf What becomes of the residual branches of block i, over all stages.
 * @returns Every block's output in order: `blocks1.0` … `[N, H1, W1, C1]`, `blocks2.0` …
 *   `[N, H2, W2, C2]`, `blocks3.0` … `[N, L, C3]`; and `patch_embed1` … `patch_embed4`.
 */
export function encodeImages(
  params: McmaeStages,
  { heads }: Pick<McmaeSettings, "heads">,
  images: Tensor,
  branchOf: (block: number) => Branch = () => (x) => x,
): Record<string, Tensor> {
  const layers: Record<string, Tensor> = {};
  const convolve: Convolve = (x, { weight, bias }) => depthwise(x, weight, bias);
  let count = 0;
  let x = layers.patch_embed1 = patchEmbed(images, params.patch_embed1);
  params.blocks1.forEach((block, i) =>
    x = layers[`blocks1.${i}`] = convBlock(x, block, convolve, branchOf(count++))
  );
  x = layers.patch_embed2 = patchEmbed(x, params.patch_embed2);
  params.blocks2.forEach((block, i) =>
    x = layers[`blocks2.${i}`] = convBlock(x, block, convolve, branchOf(count++))
  );
  x = layers.patch_embed3 = patchEmbed(x, params.patch_embed3);
  const [n, GH, GW, C] = x.shape;
  x = layers.patch_embed4 = affine(reshape(x, [n, GH * GW, C]), params.patch_embed4);
  x = add(x, params.pos_embed);
  params.blocks3.forEach((block, i) =>
    x = layers[`blocks3.${i}`] = transformerBlock(x, block, heads, branchOf(count++))
  );
  return layers;
}

/**
 * Encodes masked images.
 *
 * With block-wise masks and masked convolutions nothing outside the visible blocks reaches a visible
 * token, so stages 1 and 2 are computed on the visible blocks alone, unless `evaluation` is `dense`.
 */
export function encode(params: McmaeParams, settings: McmaeSettings, batch: MaskedImages): Encoded {
  const exact = settings.masking === "block" && settings.maskedConvolution;
  return exact && settings.evaluation === "visible"
    ? encodeVisible(params, settings, batch)
    : encodeDense(params, settings, batch);
}

function encodeVisible(
  params: McmaeParams,
  settings: McmaeSettings,
  { images, keep, restore }: MaskedImages,
): Encoded {
  const stride = strideOf(settings);
  const grid = gridOf(settings.imageSize, stride);
  const [n, V] = keep.shape;
  const all = reshape(patchify(images, stride), [
    n,
    restore.shape[1],
    stride * stride * settings.channels,
  ]);
  const visible = gather(all, keep, restore);
  // Each visible block is an image of its own, but for the depthwise convolutions.
  const convolve: Convolve = (x, { weight, bias }) => {
    const [, s, , C] = x.shape;
    const blocks = reshape(x, [n, V, s, s, C]);
    return reshape(maskedDepthwise(blocks, weight, bias, { keep, restore, grid }), x.shape);
  };
  let x = patchEmbed(
    reshape(visible, [n * V, stride, stride, settings.channels]),
    params.patch_embed1,
  );
  for (const block of params.blocks1) x = convBlock(x, block, convolve);
  const e1 = x;
  x = patchEmbed(x, params.patch_embed2);
  for (const block of params.blocks2) x = convBlock(x, block, convolve);
  const e2 = x;
  const tokens = (map: Tensor) => reshape(map, [n, V, map.shape.at(-1)!]);
  const embedded = affine(tokens(patchEmbed(x, params.patch_embed3)), params.patch_embed4);
  const places = broadcastTo(params.pos_embed, [n, ...params.pos_embed.shape.slice(1)]);
  const e3 = transform(params, settings, add(embedded, gather(places, keep, restore)));
  const scales = multiScale(params, e1, e2).map(tokens);
  const blocks = (map: Tensor) => reshape(map, [n, V, ...map.shape.slice(1)]);
  return finish(params, { e1: blocks(e1), e2: blocks(e2), e3, embedded }, scales);
}

function encodeDense(
  params: McmaeParams,
  settings: McmaeSettings,
  { images, keep, restore, removed }: MaskedImages,
): Encoded {
  const masks = visibleMaps(settings, removed);
  const byTokens = settings.masking === "token";
  const masked = (x: Tensor, stage: 0 | 1) => mul(x, masks[stage]);
  const convolve = (stage: 0 | 1): Convolve => (x, { weight, bias }) =>
    depthwise(settings.maskedConvolution ? masked(x, stage) : x, weight, bias);
  // A removed token of stage 1 lies beside visible ones in a final token, so it is zeroed on the way.
  const drop = (x: Tensor, stage: 0 | 1) => byTokens ? masked(x, stage) : x;

  let x = drop(patchEmbed(images, params.patch_embed1), 0);
  for (const block of params.blocks1) x = convBlock(x, block, convolve(0));
  const e1 = drop(x, 0);
  x = drop(patchEmbed(e1, params.patch_embed2), 1);
  for (const block of params.blocks2) x = convBlock(x, block, convolve(1));
  const e2 = drop(x, 1);
  const tokens = (map: Tensor) => reshape(map, [map.shape[0], restore.shape[1], map.shape.at(-1)!]);
  const embedded = affine(tokens(patchEmbed(e2, params.patch_embed3)), params.patch_embed4);
  const visible = (all: Tensor) => byTokens ? all : gather(all, keep, restore);
  const e3 = transform(params, settings, visible(add(embedded, params.pos_embed)));
  const scales = multiScale(params, e1, e2).map((map) => visible(tokens(map)));
  return finish(params, { e1, e2, e3, embedded }, scales);
}

/** 1 at the visible cells of stages 1 and 2, `[N, H1, W1, 1]` and `[N, H2, W2, 1]`. */
function visibleMaps(
  { imageSize, masking, patchSizes: [p1, p2, p3] }: McmaeSettings,
  removed: Tensor,
) {
  const [n] = removed.shape;
  const visible = sub(1, removed);
  if (masking === "token") {
    const [H1, W1] = gridOf(imageSize, p1);
    const first = reshape(visible, [n, H1, W1, 1]);
    // A cell of stage 2 counts as visible if any of its cells of stage 1 is.
    const any = minimum(sum(patchify(first, p2), [3], true), 1);
    return [first, any] as const;
  }
  const [GH, GW] = gridOf(imageSize, p1 * p2 * p3);
  const enlarge = (s: number) =>
    reshape(
      broadcastTo(reshape(visible, [n, GH, 1, GW, 1]), [n, GH, s, GW, s]),
      [n, GH * s, GW * s, 1],
    );
  return [enlarge(p2 * p3), enlarge(p3)] as const;
}

/** Stage 3, `[N, V, C3]` → the same. */
function transform(params: McmaeParams, { heads }: McmaeSettings, tokens: Tensor): Tensor {
  return params.blocks3.reduce((x, block) => transformerBlock(x, block, heads), tokens);
}

/** Stages 1 and 2 brought to final tokens by strided convolutions (equation 1). */
export function multiScale(
  { stage1_output_decode, stage2_output_decode }: Pick<
    McmaeParams,
    "stage1_output_decode" | "stage2_output_decode"
  >,
  e1: Tensor,
  e2: Tensor,
): Tensor[] {
  if (!stage1_output_decode || !stage2_output_decode) return [];
  return [
    stridedConvolution(e1, stage1_output_decode),
    stridedConvolution(e2, stage2_output_decode),
  ];
}

function finish(
  params: McmaeParams,
  parts: Omit<Encoded, "fused" | "latent">,
  scales: readonly Tensor[],
): Encoded {
  const fused = scales.reduce(add, parts.e3);
  return { ...parts, fused, latent: norm(fused, params.norm, TRANSFORMER_EPS) };
}
