/**
 * One face for the masked autoencoders: what a pipeline needs of a model.
 *
 * @module
 */
import { type Initializer, initializer } from "../init.ts";
import type { Key } from "../random.ts";
import { type Shape, sizeOf, type Tensor } from "../tensor.ts";
import { clipGrid, cubeLoss } from "./clips.ts";
import { type AutoencoderSettings, decode, type MaskedImages, patchLoss } from "./decoder.ts";
import { encodeMae, initMae, type MaeParams, type MaeSettings } from "./mae.ts";
import {
  encode,
  initMcmae,
  maskedTokens,
  type McmaeParams,
  type McmaeSettings,
  strideOf,
} from "./mcmae.ts";
import { gridOf } from "./patches.ts";
import {
  decodeVideoMae,
  encodeVideoMae,
  initVideoMae,
  type VideoMaeParams,
  type VideoMaeSettings,
} from "./videomae.ts";
import {
  encodeVideo,
  initVideoMcmae,
  type VideoMcmaeParams,
  type VideoMcmaeSettings,
} from "./videomcmae.ts";

/** A masked autoencoder with parameters of type P. */
export interface Autoencoder<P> {
  readonly settings: AutoencoderSettings;
  /** Side of a patch in pixels. */
  readonly patch: number;
  /** Tokens along each axis: `[GH, GW]` of an image, `[S, GH, GW]` of a clip. */
  readonly grid: Shape;
  /** Tokens of an image or a clip, L. */
  readonly tokens: number;
  /** Tokens that the mask is drawn over: L, but for token-wise masking. */
  readonly masked: number;
  init(key: Key): P;
  /** The same, with draws of one's own. */
  initWith(draw: Initializer): P;
  /** `[N, V, C]`, with a class token in front for MAE. */
  encode(params: P, batch: MaskedImages): Tensor;
  /** Every patch, `[N, L, patch · patch · channels]`; of clips every cube, frames first. */
  decode(params: P, latent: Tensor, batch: MaskedImages): Tensor;
  /** One value. */
  loss(predicted: Tensor, batch: MaskedImages): Tensor;
}

/**
 * The model that settings describe.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { autoencoder, findRecipe, type McmaeSettings, random } from "@mcmae/mcmae";
 *
 * const settings = findRecipe("quickstart").model as McmaeSettings;
 * const model = autoencoder({ ...settings, kernelSize: 7 });
 * const params = model.init(random.key(0));
 * assert.deepEqual(params.blocks1[0].attn.weight.shape, [64, 1, 7, 7]);
 * ```
 */
export function autoencoder(settings: McmaeSettings): Autoencoder<McmaeParams>;
export function autoencoder(settings: MaeSettings): Autoencoder<MaeParams>;
export function autoencoder(settings: VideoMcmaeSettings): Autoencoder<VideoMcmaeParams>;
export function autoencoder(settings: VideoMaeSettings): Autoencoder<VideoMaeParams>;
export function autoencoder(
  settings: AnySettings,
):
  | Autoencoder<McmaeParams>
  | Autoencoder<MaeParams>
  | Autoencoder<VideoMcmaeParams>
  | Autoencoder<VideoMaeParams>;
export function autoencoder(settings: AnySettings): Autoencoder<never> {
  switch (settings.kind) {
    case "mcmae": {
      const patch = strideOf(settings);
      return model<McmaeParams>(settings, patch, gridOf(settings.imageSize, patch), {
        masked: maskedTokens(settings),
        initWith: (draw) => initMcmae(settings, draw),
        encode: (params, batch) => encode(params, settings, batch).latent,
        decode: (params, latent, batch) => decode(params, settings, latent, batch),
        loss: (predicted, batch) => patchLoss(predicted, batch, settings, patch),
      });
    }
    case "mae": {
      const { patchSize } = settings;
      return model<MaeParams>(settings, patchSize, gridOf(settings.imageSize, patchSize), {
        initWith: (draw) => initMae(settings, draw),
        encode: (params, batch) => encodeMae(params, settings, batch),
        decode: (params, latent, batch) => decode(params, settings, latent, batch),
        loss: (predicted, batch) => patchLoss(predicted, batch, settings, patchSize),
      });
    }
    case "videomcmae": {
      const patch = strideOf(settings);
      return model<VideoMcmaeParams>(settings, patch, clipGrid(settings, patch).grid, {
        initWith: (draw) => initVideoMcmae(settings, draw),
        encode: (params, batch) => encodeVideo(params, settings, batch).latent,
        decode: (params, latent, batch) => decode(params, settings, latent, batch),
        loss: (predicted, batch) => cubeLoss(predicted, batch, settings, patch),
      });
    }
    case "videomae": {
      const { patchSize } = settings;
      return model<VideoMaeParams>(settings, patchSize, clipGrid(settings, patchSize).grid, {
        initWith: (draw) => initVideoMae(settings, draw),
        encode: (params, batch) => encodeVideoMae(params, settings, batch),
        decode: (params, latent, batch) => decodeVideoMae(params, settings, latent, batch),
        loss: (predicted, batch) => cubeLoss(predicted, batch, settings, patchSize),
      });
    }
  }
}

type AnySettings = McmaeSettings | MaeSettings | VideoMcmaeSettings | VideoMaeSettings;

/** What differs between models. */
type Parts<P> =
  & Pick<Autoencoder<P>, "initWith" | "encode" | "decode" | "loss">
  & Partial<Pick<Autoencoder<P>, "masked">>;

function model<P>(
  settings: AutoencoderSettings,
  patch: number,
  grid: Shape,
  parts: Parts<P>,
): Autoencoder<never> {
  const tokens = sizeOf(grid);
  const whole: Autoencoder<P> = {
    ...{ settings, patch, grid, tokens, masked: tokens },
    ...parts,
    init: (key) => parts.initWith(initializer(key)),
  };
  // Only the overloads of `autoencoder` tell whose parameters these are.
  return whole as Autoencoder<never>;
}
