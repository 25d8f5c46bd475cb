/**
 * What follows an encoder in MAE and MCMAE: the decoder of visible and mask tokens, and the loss on
 * removed patches (arXiv:2111.06377).
 *
 * @module
 */
import { type Affine, type Initializer, initLinear, initNorm } from "../init.ts";
import { gather } from "../ops/gather.ts";
import { add, broadcastTo, div, mul, square, sub } from "../ops/map.ts";
import { mean, sum } from "../ops/reduce.ts";
import { concat, reshape, slice } from "../ops/shape.ts";
import { sincos2d } from "../pos_embed.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { gridOf, normalisePatches, patchify } from "./patches.ts";
import {
  affine,
  type BlockParams,
  initBlock,
  norm,
  TRANSFORMER_EPS,
  transformerBlock,
} from "./transformer.ts";

/** Settings that MAE and MCMAE share: input, decoder and target. */
export interface AutoencoderSettings {
  /** Height and width in pixels. */
  readonly imageSize: readonly [number, number];
  readonly channels: number;
  readonly heads: number;
  readonly decoderDim: number;
  readonly decoderDepth: number;
  readonly decoderHeads: number;
  /** Normalises each target patch by its own mean and variance. */
  readonly normPix: boolean;
}

/** One micro-batch. L tokens an image, V of them visible. */
export type MaskedImages = {
  /** `[N, H, W, C]`; of clips `[N, T, H, W, C]`. */
  readonly images: Tensor;
  /** Visible tokens, `[N, V]`, u32. */
  readonly keep: Tensor;
  /** Place of every token among the shuffled ones, `[N, L]`, u32: V or more where it is removed. */
  readonly restore: Tensor;
  /** 1 where a token is removed, `[N, L]`; `[N, L1]` of stage 1 under token-wise masking. */
  readonly removed: Tensor;
};

export type DecoderParams = {
  readonly mask_token: Tensor;
  readonly decoder_pos_embed: Tensor;
  readonly decoder_embed: Affine;
  readonly decoder_blocks: readonly BlockParams[];
  readonly decoder_norm: Affine;
  readonly decoder_pred: Affine;
};

/** Frozen tables, which no optimizer touches. */
export const FROZEN: readonly string[] = ["pos_embed", "decoder_pos_embed"];

/** Frozen sin-cos table `[1, L, width]`, with a row of zeros first if there is a class token. */
export function positions(
  settings: AutoencoderSettings,
  stride: number,
  width: number,
  cls: boolean,
): Tensor {
  const [GH, GW] = gridOf(settings.imageSize, stride);
  return tensor(sincos2d(width, GH, GW, cls), [1, GH * GW + Number(cls), width]);
}

/**
 * The decoder's part of the parameters, apart from the tables; `width` is the encoder's, `patch` the
 * side of a patch, `frames` how many of a clip it has.
 */
export function initDecoder(
  draw: Initializer,
  settings: AutoencoderSettings,
  width: number,
  mlpRatio: number,
  patch: number,
  frames = 1,
): Omit<DecoderParams, "mask_token" | "decoder_pos_embed"> {
  const { decoderDim, decoderDepth } = settings;
  return {
    decoder_embed: initLinear(draw, width, decoderDim),
    decoder_blocks: Array.from(
      { length: decoderDepth },
      () => initBlock(draw, decoderDim, mlpRatio),
    ),
    decoder_norm: initNorm(decoderDim),
    decoder_pred: initLinear(draw, decoderDim, frames * patch * patch * settings.channels),
  };
}

/**
 * Predicts every patch from the visible tokens.
 *
 * @param latent `[N, V, C]`, or `[N, 1 + V, C]` with a class token.
 * @returns `[N, L, P · P · channels]`.
 */
export function decode(
  params: DecoderParams,
  settings: AutoencoderSettings,
  latent: Tensor,
  { keep, restore, removed }: Omit<MaskedImages, "images">,
): Tensor {
  const embedded = affine(latent, params.decoder_embed);
  const [n, tokens] = embedded.shape;
  const cls = tokens - keep.shape[1];
  const visible = cls === 0 ? embedded : slice(embedded, 1, 1, tokens);
  const [, L] = restore.shape;
  let x = gather(visible, restore, keep);
  // Under token-wise masking every token reaches the decoder, and none is filled in.
  if (keep.shape[1] < L) x = add(x, mul(reshape(removed, [n, L, 1]), params.mask_token));
  if (cls === 1) x = concat([slice(embedded, 1, 0, 1), x], 1);
  x = add(x, params.decoder_pos_embed);
  for (const block of params.decoder_blocks) x = transformerBlock(x, block, settings.decoderHeads);
  const predicted = affine(norm(x, params.decoder_norm, TRANSFORMER_EPS), params.decoder_pred);
  return cls === 0 ? predicted : slice(predicted, 1, 1, L + 1);
}

/**
 * Mean squared error on removed patches.
 *
 * @param predicted `[N, L, P · P · channels]`.
 * @param removed `[N, L]`, or `[N, L · cells]` where each patch is masked cell by cell.
 * @returns One value.
 */
export function patchLoss(
  predicted: Tensor,
  { images, removed }: Pick<MaskedImages, "images" | "removed">,
  settings: AutoencoderSettings,
  patch: number,
): Tensor {
  const [n, L, P] = predicted.shape;
  const plain = reshape(patchify(images, patch), [n, L, P]);
  const target = settings.normPix ? normalisePatches(plain) : plain;
  if (removed.shape[1] === L) return maskedError(predicted, target, removed);
  const weights = cellWeights(removed, settings, patch);
  return div(sum(mul(square(sub(predicted, target)), weights)), sum(weights));
}

/** Mean squared error over removed tokens: `[N, L, P]` twice, `[N, L]` → one value. */
export function maskedError(predicted: Tensor, target: Tensor, removed: Tensor): Tensor {
  const perPatch = mean(square(sub(predicted, target)), [2]);
  return div(sum(mul(perPatch, removed)), sum(removed));
}

/** Stage-1 cells `[N, GH1 · GW1]` → weights of the pixels in each patch, `[N, L, P]`. */
function cellWeights(removed: Tensor, settings: AutoencoderSettings, patch: number): Tensor {
  const [H, W] = settings.imageSize;
  const [n, cells] = removed.shape;
  const size = Math.sqrt(H * W / cells);
  const shape = [n, H / size, size, W / size, size, settings.channels];
  const pixels = broadcastTo(reshape(removed, [n, H / size, 1, W / size, 1, 1]), shape);
  const [GH, GW] = gridOf(settings.imageSize, patch);
  return reshape(
    patchify(reshape(pixels, [n, H, W, settings.channels]), patch),
    [n, GH * GW, patch * patch * settings.channels],
  );
}

/** A mask token as MAE draws it. */
export function initMaskToken(draw: Initializer, width: number): Tensor {
  return draw.normal([1, 1, width], 0.02);
}
