/**
 * One face for pretrained encoders, MCMAE's stages and ViT, of images and of clips: what probing,
 * fine-tuning and feature extraction need of a model.
 *
 * @module
 */
import { constant } from "../init.ts";
import { add } from "../ops/map.ts";
import { mean } from "../ops/reduce.ts";
import { reshape, slice } from "../ops/shape.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import { encodeVit, type MaeParams, type MaeSettings, type VitParams } from "./mae.ts";
import type { McmaeParams, McmaeSettings } from "./mcmae.ts";
import { encodeImages, type McmaeStages, multiScale } from "./mcmae_stages.ts";
import { type Branch, norm, TRANSFORMER_EPS } from "./transformer.ts";
import { encodeVideoVit, type VideoMaeSettings, type VideoVitParams } from "./videomae.ts";
import type { VideoMcmaeSettings } from "./videomcmae.ts";

/** Settings of a model of which the encoder alone is used. */
export type EncoderSettings = McmaeSettings | MaeSettings;

/** The same of a model for clips. */
export type VideoEncoderSettings = VideoMcmaeSettings | VideoMaeSettings;

/** Parameters of an encoder, by the names of the published checkpoints. */
export type EncoderParams = McmaeStages | VitParams | VideoVitParams;

/** Outputs of layers by name, in order; the last one is what a head takes. */
export type Layers = Readonly<Record<string, Tensor>>;

type AnySettings = EncoderSettings | VideoEncoderSettings;

/** Whether the model is a plain ViT. */
function isVit(settings: AnySettings): settings is MaeSettings | VideoMaeSettings {
  return settings.kind === "mae" || settings.kind === "videomae";
}

/** Channels of the final tokens. */
export function widthOf(settings: AnySettings): number {
  return isVit(settings) ? settings.embedDim : settings.embedDims[2];
}

/** Blocks over all stages. */
export function blocksOf(settings: AnySettings): number {
  return isVit(settings) ? settings.depth : settings.depths.reduce((sum, depth) => sum + depth, 0);
}

/** Transformer blocks: their name, and how many there are. */
export function transformerOf(settings: AnySettings): readonly [name: string, depth: number] {
  return isVit(settings) ? ["blocks", settings.depth] : ["blocks3", settings.depths[2]];
}

/** Names of the outputs of {@linkcode encodeLayers}, in order. */
export function layerNames(settings: AnySettings): string[] {
  const blocks = (name: string, depth: number) =>
    Array.from({ length: depth }, (_, i) => `${name}.${i}`);
  if (isVit(settings)) return blocks("blocks", settings.depth);
  const [first, second, third] = settings.depths;
  return [
    ...["patch_embed1", ...blocks("blocks1", first)],
    ...["patch_embed2", ...blocks("blocks2", second)],
    ...["patch_embed3", "patch_embed4", ...blocks("blocks3", third)],
  ];
}

/**
 * The outputs of every layer on whole images or clips, without a mask.
 *
 * @param images `[N, H, W, C]`, or clips `[N, T, H, W, C]`.
 * @param branchOf What becomes of the residual branches of block i, over all stages.
 * @returns See `encodeImages`, `encodeVit` and `encodeVideoVit`.
 */
export function encodeLayers(
  params: EncoderParams,
  settings: AnySettings,
  images: Tensor,
  branchOf?: (block: number) => Branch,
): Layers {
  switch (settings.kind) {
    case "mae":
      return encodeVit(params as VitParams, settings, images, branchOf);
    case "videomae":
      return encodeVideoVit(params as VideoVitParams, settings, images, branchOf);
    default:
      return encodeImages(params as McmaeStages, settings, images, branchOf);
  }
}

/** Patch tokens of a ViT's layer, `[N, L, C]`: without the class token, which MAE alone has. */
export function patchTokens(settings: AnySettings, tokens: Tensor): Tensor {
  return settings.kind === "mae" ? slice(tokens, 1, 1, tokens.shape[1]) : tokens;
}

/** Names of the features that {@linkcode featuresOf} knows, besides those of layers. */
export function featureNames(settings: EncoderSettings): string[] {
  return settings.kind === "mae"
    ? ["global", "e3", "latent", "cls"]
    : ["global", "e1", "e2", "e3", "latent"];
}

/**
 * Features by name:
 *
 * - `global`: the mean of the final tokens, normalised: what a probe or a classifier's head takes. A
 *   fine-tuned model's `fc_norm` gives gain and bias; others have none.
 * - `e1`, `e2`, `e3`: outputs of MCMAE's stages; `e3` of a ViT is its last layer.
 * - `latent`: all scales joined and normalised, as the decoder gets them; of pretrained models only.
 * - `cls`: a ViT's class token, normalised.
 * - the name of a layer, see {@linkcode layerNames}.
 *
 * @param params Of an encoder, a whole autoencoder or a classifier.
 * @param images `[N, H, W, C]`.
 * @param pooled Whether maps and tokens become their mean, `[N, C]`.
 * @returns `[N, C]`, else maps `[N, H, W, C]` and tokens `[N, L, C]`.
 * @throws {RangeError} If the model has no such feature; the message lists what it has.
 */
export function featuresOf(
  params: EncoderParams,
  settings: EncoderSettings,
  images: Tensor,
  names: readonly string[],
  pooled = true,
): Record<string, Tensor> {
  const layers = encodeLayers(params, settings, images);
  const last = Object.values(layers).at(-1)!;
  const tokens = patchTokens(settings, last);
  const C = widthOf(settings);
  const stage = (number: 1 | 2) =>
    settings.kind === "mcmae" && layers[`blocks${number}.${settings.depths[number - 1] - 1}`];
  const known: Record<string, () => Tensor | false | undefined> = {
    global: () => {
      const { fc_norm: layer = { weight: constant([C], 1), bias: constant([C], 0) } } =
        params as Partial<Pick<ClassifierNorm, "fc_norm">>;
      return norm(mean(tokens, [1]), layer, TRANSFORMER_EPS);
    },
    e1: () => stage(1),
    e2: () => stage(2),
    e3: () => tokens,
    latent: () => latentOf(params, settings, layers, last),
    cls: () => {
      const { norm: layer } = params as Partial<MaeParams>;
      if (settings.kind !== "mae" || !layer) return undefined;
      return reshape(slice(norm(last, layer, TRANSFORMER_EPS), 1, 0, 1), [images.shape[0], C]);
    },
  };
  return Object.fromEntries(names.map((name) => {
    const found = Object.hasOwn(known, name)
      ? known[name]()
      : layers[name] && patchTokensOf(settings, name, layers[name]);
    if (!found) {
      const all = [...featureNames(settings), ...layerNames(settings)];
      throw new RangeError(`The model has no feature ${name}: choose from ${all.join(", ")}`);
    }
    return [name, pooled ? pool(found) : found];
  }));
}

type ClassifierNorm = {
  readonly fc_norm: { readonly weight: Tensor; readonly bias: Tensor };
};

function patchTokensOf(settings: EncoderSettings, name: string, layer: Tensor): Tensor {
  return name.startsWith("blocks.") ? patchTokens(settings, layer) : layer;
}

/** All scales joined, then the norm that was trained on them. */
function latentOf(
  params: EncoderParams,
  settings: EncoderSettings,
  layers: Layers,
  last: Tensor,
): Tensor | undefined {
  const { norm: layer } = params as Partial<McmaeParams | MaeParams>;
  if (!layer) return undefined;
  if (settings.kind === "mae") return patchTokens(settings, norm(last, layer, TRANSFORMER_EPS));
  const [e1, e2] = [1, 2].map((i) => layers[`blocks${i}.${settings.depths[i - 1] - 1}`]);
  const scales = multiScale(params as McmaeParams, e1, e2);
  const fused = scales.map((map) => reshape(map, last.shape)).reduce(add, last);
  return norm(fused, layer, TRANSFORMER_EPS);
}

/** The mean over all but samples and channels. */
function pool(x: Tensor): Tensor {
  const { shape } = x;
  if (shape.length === 2) return x;
  const C = shape.at(-1)!;
  return mean(reshape(x, [shape[0], sizeOf(shape.slice(1, -1)), C]), [1]);
}
