/**
 * The three stages of MCMAE (arXiv:2205.03892), which images and clips share: two of convolution
 * blocks, then a transformer. Maps are `[N, H, W, C]`; of clips `[N, S, H, W, C]`, in S time slots.
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
import { add, broadcastTo, gelu, mul, sub } from "../ops/map.ts";
import { reshape } from "../ops/shape.ts";
import { inBlock } from "../recompute.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import type { AutoencoderSettings, MaskedImages } from "./decoder.ts";
import { stridedConvolution, type TokenGrid, visiblePixels, visiblePositions } from "./patches.ts";
import {
  affine,
  type BlockOptions,
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

/** Settings of the stages. */
export interface StageSettings extends AutoencoderSettings {
  /** Stride of each stage's patch embedding. */
  readonly patchSizes: Stages;
  readonly embedDims: Stages;
  readonly depths: Stages;
  /** The image model's decoder takes the first, as the published code does. */
  readonly mlpRatios: Stages;
  /** Side of the depthwise convolutions. */
  readonly kernelSize: number;
  /** `false`: masked cells leak into visible ones (Table 5). */
  readonly maskedConvolution: boolean;
  /** `false`: the decoder sees stage 3 alone (Table 6). */
  readonly multiScaleDecoder: boolean;
  /** Where stages 1 and 2 are computed; both give the same numbers. */
  readonly evaluation: "visible" | "dense";
}

/** A strided convolution with its norm. */
export type PatchEmbedParams = {
  readonly proj: Affine;
  readonly norm: Affine;
};

/** A convolution block of stages 1 and 2. */
export type ConvBlockParams = {
  readonly norm1: Affine;
  readonly conv1: Affine;
  readonly conv2: Affine;
  readonly attn: Affine; // a depthwise convolution, in attention's place
  readonly norm2: Affine;
  readonly mlp: Mlp;
};

/** What encoders of dense prediction have otherwise. */
export interface ImageOptions {
  /** Of the convolution blocks' LayerNorms. */
  readonly convolutionEps?: number;
}

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

/** Stages 1 and 2 on their way to the decoder. */
export type MultiScaleParams = {
  readonly stage1_output_decode?: Affine;
  readonly stage2_output_decode?: Affine;
};

/** The encoder of an autoencoder. */
export type McmaeEncoder = McmaeStages & MultiScaleParams & { readonly norm: Affine };

/** What the encoder computes on the way, `latent` last. */
export type Encoded = {
  /** Stage outputs: maps if dense, `[N, V, s, s, C1]` visible-only; then likewise. */
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

/** Sizes in time: of the cubes that stage 1 embeds, and of the depthwise convolutions. */
export interface TemporalSizes {
  readonly tubelet: number;
  readonly temporalKernel: number;
}

/**
 * Draws the stages as the published code does: Xavier for linear layers, PyTorch's own for
 * convolutions.
 *
 * @param time For clips, whose kernels have an axis of time: `[O, I, T, k, k]`.
 */
export function initStages(
  draw: Initializer,
  settings: StageSettings,
  time?: TemporalSizes,
): Omit<McmaeStages, "pos_embed"> & MultiScaleParams {
  const { embedDims: [C1, C2, C3], patchSizes: [p1, p2, p3], depths, mlpRatios } = settings;
  const { tubelet = 1, temporalKernel = 1 } = time ?? {};
  const kernel = (layer: Affine, frames = 1) => time ? overTime(layer, frames) : layer;
  const pointwise = (inputs: number, outputs: number) =>
    kernel(initConvolution(draw, inputs, outputs, 1));
  const block = (width: number, ratio: number): ConvBlockParams => ({
    norm1: initNorm(width),
    conv1: pointwise(width, width),
    conv2: pointwise(width, width),
    attn: kernel(initConvolution(draw, temporalKernel, width, settings.kernelSize), temporalKernel),
    norm2: initNorm(width),
    mlp: { fc1: pointwise(width, width * ratio), fc2: pointwise(width * ratio, width) },
  });
  return {
    patch_embed1: {
      proj: kernel(initConvolution(draw, settings.channels * tubelet, C1, p1), tubelet),
      norm: initNorm(C1),
    },
    patch_embed2: { proj: kernel(initConvolution(draw, C1, C2, p2)), norm: initNorm(C2) },
    patch_embed3: { proj: kernel(initProjection(draw, C2, C3, p3)), norm: initNorm(C3) },
    patch_embed4: initLinear(draw, C3, C3),
    ...(settings.multiScaleDecoder && {
      stage1_output_decode: kernel(initConvolution(draw, C1, C3, p2 * p3)),
      stage2_output_decode: kernel(initConvolution(draw, C2, C3, p3)),
    }),
    blocks1: Array.from({ length: depths[0] }, () => block(C1, mlpRatios[0])),
    blocks2: Array.from({ length: depths[1] }, () => block(C2, mlpRatios[1])),
    blocks3: Array.from({ length: depths[2] }, () => initBlock(draw, C3, mlpRatios[2])),
  };
}

/** A kernel `[O, I · T, k, k]` as one over time, `[O, I, T, k, k]`: both are drawn alike. */
function overTime({ weight, bias }: Affine, frames: number): Affine {
  const [outputs, inputs, ...sides] = weight.shape;
  return { weight: { ...weight, shape: [outputs, inputs / frames, frames, ...sides] }, bias };
}

/** How a block convolves the maps of its stage. */
export type Convolve = (x: Tensor, layer: Affine) => Tensor;

/** `[N, H, W, C]` → `[N, H/p, W/p, O]`; of clips `[N, T, H, W, C]` → `[N, T/t, H/p, W/p, O]`. */
export function patchEmbed(x: Tensor, { proj, norm: layer }: PatchEmbedParams): Tensor {
  return gelu(norm(stridedConvolution(x, proj), layer, CONVOLUTION_EPS));
}

/** Convolution block, `[…, H, W, C]` → the same. */
export function convBlock(
  x: Tensor,
  block: ConvBlockParams,
  convolve: Convolve,
  branch: Branch = (x) => x,
  eps = CONVOLUTION_EPS,
): Tensor {
  return inBlock(() => {
    const inside = affine(norm(x, block.norm1, eps), block.conv1);
    const y = add(x, branch(affine(convolve(inside, block.attn), block.conv2), 0));
    return add(y, branch(mlp(norm(y, block.norm2, eps), block.mlp), 1));
  });
}

/**
 * The three stages on whole images or clips without a mask, as the published `ConvViT` applies them.
 *
 * @param images `[N, H, W, C]`, or clips `[N, T, H, W, C]`.
 * @param branchOf What becomes of the residual branches of block i, over all stages.
 * @param optionsOf Of transformer block i.
 * @returns Every block's output in order: `blocks1.0` … `[N, H1, W1, C1]`, `blocks2.0` …
 *   `[N, H2, W2, C2]`, `blocks3.0` … `[N, L, C3]`; and `patch_embed1` … `patch_embed4`. Maps of clips
 *   have S after N.
 */
export function encodeImages(
  params: McmaeStages,
  { heads, convolutionEps }: Pick<StageSettings, "heads"> & ImageOptions,
  images: Tensor,
  branchOf: (block: number) => Branch = () => (x) => x,
  optionsOf: (block: number) => BlockOptions = () => ({}),
): Record<string, Tensor> {
  const layers: Record<string, Tensor> = {};
  const convolve: Convolve = (x, { weight, bias }) => depthwise(x, weight, bias);
  let count = 0;
  let x = layers.patch_embed1 = patchEmbed(images, params.patch_embed1);
  params.blocks1.forEach((block, i) =>
    x = layers[`blocks1.${i}`] = convBlock(x, block, convolve, branchOf(count++), convolutionEps)
  );
  x = layers.patch_embed2 = patchEmbed(x, params.patch_embed2);
  params.blocks2.forEach((block, i) =>
    x = layers[`blocks2.${i}`] = convBlock(x, block, convolve, branchOf(count++), convolutionEps)
  );
  x = layers.patch_embed3 = patchEmbed(x, params.patch_embed3);
  x = layers.patch_embed4 = affine(tokensOf(x), params.patch_embed4);
  x = add(x, params.pos_embed);
  params.blocks3.forEach((block, i) =>
    x = layers[`blocks3.${i}`] = transformerBlock(
      x,
      block,
      heads,
      branchOf(count++),
      optionsOf(i),
    )
  );
  return layers;
}

/** `[N, …, C]` → `[N, L, C]`. */
function tokensOf(map: Tensor): Tensor {
  const { shape } = map;
  return reshape(map, [shape[0], sizeOf(shape.slice(1, -1)), shape.at(-1)!]);
}

/**
 * Encodes the visible tokens on their blocks alone: right where no value of a removed block reaches a
 * visible token, under masks of whole tokens and masked convolutions.
 */
export function encodeVisible(
  params: McmaeEncoder,
  settings: Pick<StageSettings, "heads">,
  { grid, sizes }: TokenGrid,
  { images, keep, restore }: MaskedImages,
): Encoded {
  const [n, V] = keep.shape;
  /** `[N · V, …, s, s, C]` → `[N, V, s, s, C]`; a block is of one time slot. */
  const blocks = (map: Tensor) => reshape(map, [n, V, ...map.shape.slice(-3)]);
  const tokens = (map: Tensor) => reshape(map, [n, V, map.shape.at(-1)!]);
  // Each visible block is an input of its own, but for the depthwise convolutions.
  const convolve: Convolve = (x, { weight, bias }) =>
    reshape(maskedDepthwise(blocks(x), weight, bias, { keep, restore, grid }), x.shape);
  let x = patchEmbed(visiblePixels(images, sizes, { keep, restore }), params.patch_embed1);
  for (const block of params.blocks1) x = convBlock(x, block, convolve);
  const e1 = x;
  x = patchEmbed(x, params.patch_embed2);
  for (const block of params.blocks2) x = convBlock(x, block, convolve);
  const e2 = x;
  const embedded = affine(tokens(patchEmbed(x, params.patch_embed3)), params.patch_embed4);
  const positions = visiblePositions(params.pos_embed, { keep, restore });
  const e3 = transform(params, settings, add(embedded, positions));
  const scales = multiScale(params, e1, e2).map(tokens);
  return finish(params, { e1: blocks(e1), e2: blocks(e2), e3, embedded }, scales);
}

/** How maps are masked. */
export interface MapMasks {
  /** 1 at the visible cells of stages 1 and 2, `[N, H1, W1, 1]` and `[N, H2, W2, 1]`; of clips S after N. */
  readonly masks: readonly [Tensor, Tensor];
  /** Whether final tokens have cells of both kinds: removed ones are zeroed, and all tokens kept. */
  readonly byTokens?: boolean;
}

/** Encodes the visible tokens on whole maps: the reference, and for what leaks or masks by tokens. */
export function encodeDense(
  params: McmaeEncoder,
  settings: Pick<StageSettings, "heads" | "maskedConvolution">,
  { masks, byTokens = false }: MapMasks,
  { images, keep, restore }: MaskedImages,
): Encoded {
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
  const embedded = affine(tokensOf(patchEmbed(e2, params.patch_embed3)), params.patch_embed4);
  const visible = (all: Tensor) => byTokens ? all : gather(all, keep, restore);
  const e3 = transform(params, settings, visible(add(embedded, params.pos_embed)));
  const scales = multiScale(params, e1, e2).map((map) => visible(tokensOf(map)));
  return finish(params, { e1, e2, e3, embedded }, scales);
}

/**
 * Masks of maps in which a token has `sides[stage]` cells along each side.
 *
 * @param removed `[N, L]`, 1 where a token is removed.
 */
export function tokenMasks(
  removed: Tensor,
  { grid }: Pick<TokenGrid, "grid">,
  sides: readonly [number, number],
): MapMasks["masks"] {
  const [n] = removed.shape;
  const [GW, GH, ...slots] = grid.toReversed();
  const rows = n * sizeOf(slots) * GH;
  const visible = reshape(sub(1, removed), [rows, 1, GW, 1]);
  const enlarge = (s: number) =>
    reshape(broadcastTo(visible, [rows, s, GW, s]), [n, ...slots, GH * s, GW * s, 1]);
  return [enlarge(sides[0]), enlarge(sides[1])];
}

/** Stage 3, `[N, V, C3]` → the same. */
function transform(
  params: McmaeStages,
  { heads }: Pick<StageSettings, "heads">,
  tokens: Tensor,
): Tensor {
  return params.blocks3.reduce((x, block) => transformerBlock(x, block, heads), tokens);
}

/** Stages 1 and 2 brought to final tokens by strided convolutions (equation 1). */
export function multiScale(
  { stage1_output_decode, stage2_output_decode }: MultiScaleParams,
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
  params: McmaeEncoder,
  parts: Omit<Encoded, "fused" | "latent">,
  scales: readonly Tensor[],
): Encoded {
  const fused = scales.reduce(add, parts.e3);
  return { ...parts, fused, latent: norm(fused, params.norm, TRANSFORMER_EPS) };
}
