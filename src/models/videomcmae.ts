/**
 * VideoMCMAE: MCMAE for clips (arXiv:2205.03892, sections 2.4 and 3.4).
 *
 * No code of it is published. It is the image model with an axis of time: stage 1 embeds cubes of
 * frames, the depthwise convolutions span time slots, stage 3 and the decoder attend over space and
 * time. What the paper leaves open is VideoMAE's (arXiv:2203.12602): tube masks, the position table,
 * the target. Clips are `[N, T, H, W, C]`, maps `[N, S, H, W, C]` in S = T / tubelet time slots.
 *
 * @module
 */
import { type Initializer, initNorm } from "../init.ts";
import { sizeOf } from "../tensor.ts";
import { clipGrid, clipPositions, type ClipSettings } from "./clips.ts";
import { type DecoderParams, initDecoder, initMaskToken, type MaskedImages } from "./decoder.ts";
import { strideOf } from "./mcmae.ts";
import {
  type Encoded,
  encodeDense,
  encodeVisible,
  initStages,
  type McmaeEncoder,
  type StageSettings,
  type TemporalSizes,
  tokenMasks,
} from "./mcmae_stages.ts";

/** Sizes of a VideoMCMAE, and its ablations. */
export interface VideoMcmaeSettings extends StageSettings, ClipSettings, TemporalSizes {
  readonly kind: "videomcmae";
  /** Time slots that a depthwise convolution spans. */
  readonly temporalKernel: number;
  /** The image model's decoder takes a ratio of the encoder's. */
  readonly decoderMlpRatio: number;
}

/** As the image model's, but convolutions have an axis of time: `[O, I, T, k, k]`. */
export type VideoMcmaeParams = DecoderParams & McmaeEncoder;

/** Draws parameters as the image model does. */
export function initVideoMcmae(settings: VideoMcmaeSettings, draw: Initializer): VideoMcmaeParams {
  const { embedDims: [, , C3], decoderDim, decoderMlpRatio, tubelet } = settings;
  const stride = strideOf(settings);
  const L = sizeOf(clipGrid(settings, stride).grid);
  return {
    pos_embed: clipPositions(L, C3),
    mask_token: initMaskToken(draw, decoderDim),
    decoder_pos_embed: clipPositions(L, decoderDim),
    ...initStages(draw, settings, settings),
    norm: initNorm(C3),
    ...initDecoder(draw, settings, C3, decoderMlpRatio, stride, tubelet),
  };
}

/**
 * Encodes masked clips, whatever cubes the mask removes.
 *
 * With masked convolutions nothing outside the visible cubes reaches a visible token, so stages 1 and
 * 2 are computed on the visible cubes alone, unless `evaluation` is `dense`.
 */
export function encodeVideo(
  params: VideoMcmaeParams,
  settings: VideoMcmaeSettings,
  batch: MaskedImages,
): Encoded {
  const { patchSizes: [, p2, p3], maskedConvolution, evaluation } = settings;
  const tokens = clipGrid(settings, strideOf(settings));
  if (maskedConvolution && evaluation === "visible") {
    return encodeVisible(params, settings, tokens, batch);
  }
  const masks = tokenMasks(batch.removed, tokens, [p2 * p3, p3]);
  return encodeDense(params, settings, { masks }, batch);
}
