/**
 * One face for the masked autoencoders: what a pipeline needs of a model.
 *
 * @module
 */
import { type Initializer, initializer } from "../init.ts";
import type { Key } from "../random.ts";
import type { Tensor } from "../tensor.ts";
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

/** A masked autoencoder with parameters of type P. */
export interface Autoencoder<P> {
  readonly settings: AutoencoderSettings;
  /** Side of a patch in pixels. */
  readonly patch: number;
  /** Tokens of an image, L. */
  readonly tokens: number;
  /** Tokens that the mask is drawn over: L, but for token-wise masking. */
  readonly masked: number;
  init(key: Key): P;
  /** The same, with draws of one's own. */
  initWith(draw: Initializer): P;
  /** `[N, V, C]`, with a class token in front for MAE. */
  encode(params: P, batch: MaskedImages): Tensor;
  /** Every patch, `[N, L, patch · patch · channels]`. */
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
export function autoencoder(
  settings: McmaeSettings | MaeSettings,
): Autoencoder<McmaeParams> | Autoencoder<MaeParams>;
export function autoencoder(settings: McmaeSettings | MaeSettings): Autoencoder<never> {
  const patch = settings.kind === "mae" ? settings.patchSize : strideOf(settings);
  const [GH, GW] = gridOf(settings.imageSize, patch);
  const shared = {
    settings,
    patch,
    tokens: GH * GW,
    decode: (params: McmaeParams | MaeParams, latent: Tensor, batch: MaskedImages) =>
      decode(params, settings, latent, batch),
    loss: (predicted: Tensor, batch: MaskedImages) => patchLoss(predicted, batch, settings, patch),
  };
  if (settings.kind === "mae") {
    return {
      ...shared,
      masked: GH * GW,
      init: (key: Key) => initMae(settings, initializer(key)) as never,
      initWith: (draw: Initializer) => initMae(settings, draw) as never,
      encode: (params: MaeParams, batch) => encodeMae(params, settings, batch),
    };
  }
  return {
    ...shared,
    masked: maskedTokens(settings),
    init: (key: Key) => initMcmae(settings, initializer(key)) as never,
    initWith: (draw: Initializer) => initMcmae(settings, draw) as never,
    encode: (params: McmaeParams, batch) => encode(params, settings, batch).latent,
  };
}
