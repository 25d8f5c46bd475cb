/**
 * MCMAE: masked convolution meets masked autoencoders (arXiv:2205.03892), for images.
 *
 * Parameters bear the names and shapes of the published checkpoints. Maps are `[N, H, W, C]`.
 *
 * @module
 */
import { type Initializer, initNorm } from "../init.ts";
import { minimum, sub } from "../ops/map.ts";
import { sum } from "../ops/reduce.ts";
import { reshape } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";
import {
  type DecoderParams,
  initDecoder,
  initMaskToken,
  type MaskedImages,
  positions,
} from "./decoder.ts";
import {
  type Encoded,
  encodeDense,
  encodeVisible,
  initStages,
  type MapMasks,
  type McmaeEncoder,
  type StageSettings,
  tokenMasks,
} from "./mcmae_stages.ts";
import { gridOf, patchify } from "./patches.ts";

export interface McmaeSettings extends StageSettings {
  readonly kind: "mcmae";
  /** `token`: stage 1 masks its own tokens, all reach stage 3 (Table 5). */
  readonly masking: "block" | "token";
}

export type McmaeParams = DecoderParams & McmaeEncoder;

/** Pixels along the side of a final token. */
export function strideOf({ patchSizes }: Pick<StageSettings, "patchSizes">): number {
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
  const { embedDims: [, , C3], mlpRatios: [mlpRatio], decoderDim } = settings;
  const stride = strideOf(settings);
  return {
    pos_embed: positions(settings, stride, C3, false),
    mask_token: initMaskToken(draw, decoderDim),
    decoder_pos_embed: positions(settings, stride, decoderDim, false),
    ...initStages(draw, settings),
    norm: initNorm(C3),
    ...initDecoder(draw, settings, C3, mlpRatio, stride),
  };
}

/**
 * Encodes masked images.
 *
 * With block-wise masks and masked convolutions nothing outside the visible blocks reaches a visible
 * token, so stages 1 and 2 are computed on the visible blocks alone, unless `evaluation` is `dense`.
 */
export function encode(params: McmaeParams, settings: McmaeSettings, batch: MaskedImages): Encoded {
  const exact = settings.masking === "block" && settings.maskedConvolution;
  if (!exact || settings.evaluation === "dense") {
    return encodeDense(params, settings, mapMasks(settings, batch.removed), batch);
  }
  const stride = strideOf(settings);
  const tokens = { grid: gridOf(settings.imageSize, stride), sizes: [stride, stride] };
  return encodeVisible(params, settings, tokens, batch);
}

function mapMasks(
  { imageSize, masking, patchSizes: [p1, p2, p3] }: McmaeSettings,
  removed: Tensor,
): MapMasks {
  if (masking === "block") {
    const grid = gridOf(imageSize, p1 * p2 * p3);
    return { masks: tokenMasks(removed, { grid }, [p2 * p3, p3]) };
  }
  const first = reshape(sub(1, removed), [removed.shape[0], ...gridOf(imageSize, p1), 1]);
  // A cell of stage 2 counts as visible if any of its cells of stage 1 is.
  const any = minimum(sum(patchify(first, p2), [3], true), 1);
  return { masks: [first, any], byTokens: true };
}
