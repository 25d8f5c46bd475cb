/**
 * Pictures of what a masked autoencoder has learnt: original, masked, reconstructed.
 *
 * @module
 */
import { evaluationCrop, normalise } from "../data/augment.ts";
import { DataError } from "../data/dataset.ts";
import { placeOf } from "../data/place.ts";
import { randomMask } from "../data/mask.ts";
import type { Image } from "../data/resize.ts";
import { type ImageSource, openSource } from "../data/source.ts";
import type { Device } from "../src/device.ts";
import { type Autoencoder, autoencoder } from "../src/models/autoencoder.ts";
import { inStage } from "../src/op.ts";
import type { Params } from "../src/optim.ts";
import { compile } from "../src/plan/plan.ts";
import { readAll } from "../src/plan/read.ts";
import { fold, key } from "../src/random.ts";
import { tensor } from "../src/tensor.ts";
import { arrange } from "./picture.ts";
import { type MaskedBatch, maskTensors, PICTURES } from "./pretrain.ts";
import type { DataSettings, Recipe } from "./recipe.ts";

/** What of a recipe decides which images are looked at, and how large. */
export interface ViewSettings {
  readonly model: Pick<Recipe["model"], "imageSize" | "channels">;
  readonly data: Pick<DataSettings, "cache" | "cacheSide"> & {
    /** Share of the resized image's side that the crop takes; as published unless given. */
    readonly cropPct?: number;
  };
}

/** What of a recipe decides a reconstruction. */
export interface ReconstructionSettings
  extends ViewSettings, Pick<Recipe, "model" | "maskRatio" | "seed"> {
  readonly model: Recipe["model"];
  readonly data: ViewSettings["data"] & Pick<DataSettings, "mean" | "std">;
}

/** Images or clips with their masks and predictions. */
export interface Reconstruction {
  /** Normalised pixels `[N, H, W, C]`; of clips `[N, T, H, W, C]`. */
  readonly images: Float32Array;
  /** `[N, L, patch · patch · C]`; of clips `[N, L, tubelet · patch · patch · C]`. */
  readonly predicted: Float32Array;
  /** 1 where a token (or, under token-wise masking, a cell of stage 1) is removed. */
  readonly removed: Float32Array;
  /** Mean loss of the removed patches. */
  readonly loss: number;
  readonly count: number;
}

/** Reconstructs the same images again and again, as a model learns. */
export interface Reconstructor {
  /** What the parameters on the device make of them now. */
  run(): Promise<Reconstruction>;
  destroy(): void;
}

/**
 * Prepares to reconstruct the evaluation crops of a few images, evenly spread over the source; bad
 * files are passed over.
 *
 * @param params Parameters on the device.
 */
export async function prepareReconstruction(
  device: Device,
  recipe: ReconstructionSettings,
  params: Params,
  source: ImageSource,
  count: number,
  onBad?: OnBad,
): Promise<Reconstructor> {
  const model = autoencoder(recipe.model) as Autoencoder<never> as Autoencoder<Params>;
  const { imageSize: [height, width], channels } = recipe.model;
  const crops = await evaluationCrops(recipe, source, count, onBad);
  const n = crops.length;
  const images = new Float32Array(n * height * width * channels);
  crops.forEach((crop, i) => {
    images.set(normalise(crop, recipe.data.mean, recipe.data.std), i * height * width * channels);
  });
  const keys = Array.from({ length: n }, (_, i) => fold(key(recipe.seed), PICTURES, i));
  const mask = randomMask(keys, model.masked, recipe.maskRatio);
  const batch: MaskedBatch = {
    images: tensor(images, [n, height, width, channels]),
    ...maskTensors(model, mask, n),
  };
  return await compileReconstruction(device, model, params, batch, {
    ...{ images, removed: mask.removed, count: n },
  });
}

/**
 * Compiles what a model makes of a batch.
 *
 * @param params Parameters on the device.
 * @param known The batch in host memory.
 */
export async function compileReconstruction(
  device: Device,
  model: Autoencoder<Params>,
  params: Params,
  batch: MaskedBatch,
  known: Pick<Reconstruction, "images" | "removed" | "count">,
): Promise<Reconstructor> {
  const plan = await compile(
    device,
    ({ params, batch }) =>
      inStage("reconstruct", () => {
        const predicted = model.decode(params, model.encode(params, batch), batch);
        return { predicted, loss: model.loss(predicted, batch) };
      }),
    { params, batch },
  );
  return {
    async run() {
      const results = plan.run({ params, batch });
      const [values, [loss]] = await readAll(device, [results.predicted, results.loss]);
      return { ...known, predicted: values as Float32Array, loss };
    },
    destroy: () => plan.destroy(),
  };
}

/** As {@linkcode prepareReconstruction}, once. */
export async function reconstruct(
  ...args: Parameters<typeof prepareReconstruction>
): Promise<Reconstruction> {
  const reconstructor = await prepareReconstruction(...args);
  try {
    return await reconstructor.run();
  } finally {
    reconstructor.destroy();
  }
}

/** Is told of a file that cannot be used, and why. */
export type OnBad = (name: string, reason: string) => void;

/**
 * Evaluation crops of the first good ones of images spread over a source.
 *
 * @throws {DataError} If there is none.
 */
export async function evaluationCrops(
  { model: { imageSize: [height, width], channels }, data }: ViewSettings,
  source: ImageSource,
  count: number,
  onBad: OnBad = () => {},
): Promise<Image[]> {
  const cache = data.cache === null ? undefined : { folder: data.cache, side: data.cacheSide };
  const dataset = await openSource(source, channels, cache);
  const found: Image[] = [];
  const wanted = Math.min(count, dataset.length);
  const stride = Math.floor(dataset.length / wanted);
  for (let offset = 0; offset < stride && found.length < wanted; offset++) {
    for (let i = offset; i < dataset.length && found.length < wanted; i += stride) {
      try {
        found.push(evaluationCrop(await dataset.get(i), width, height, data.cropPct));
      } catch (error) {
        if (!(error instanceof DataError)) throw error; // a bad file: another takes its place
        onBad(placeOf(source, i).name, error.message);
      }
    }
  }
  if (found.length === 0) {
    throw new DataError(`Cannot look at images: none of ${dataset.length} can be read`);
  }
  return found;
}

/** Pictures of the same images, 8-bit colours `[N, H, W, 3]` each; of clips `[N, T, H, W, 3]`. */
export interface Columns {
  readonly original: Uint8Array;
  /** Removed pixels are grey. */
  readonly masked: Uint8Array;
  /** The normalisation of the targets undone, and the visible pixels pasted. */
  readonly reconstructed: Uint8Array;
}

/** Colours of a reconstruction. */
export function columnsOf(
  { model, data: { mean, std } }: ReconstructionSettings,
  result: Reconstruction,
): Columns {
  const [H, W] = model.imageSize;
  const C = model.channels;
  const { patch, masked } = autoencoder(model);
  const cell = Math.sqrt(H * W / masked); // side of what is masked at once
  const original = new Uint8Array(result.count * H * W * 3);
  const made = new Uint8Array(original.length);
  for (let n = 0, out = 0; n < result.count; n++) {
    const restored = undoNormalisation(result, n, model, patch);
    for (let pixel = 0; pixel < H * W; pixel++) {
      const at = pixel * C;
      for (let rgb = 0; rgb < 3; rgb++, out++) {
        const c = Math.min(rgb, C - 1);
        original[out] = byteOf(result.images[n * H * W * C + at + c] * std[c] + mean[c]);
        made[out] = byteOf(restored[at + c] * std[c] + mean[c]);
      }
    }
  }
  return pasteVisible(original, made, (pixel) => {
    const [y, x] = [Math.floor(pixel / W), pixel % W]; // y runs over all images
    const row = Math.floor(y % H / cell);
    const at = row * (W / cell) + Math.floor(x / cell);
    return result.removed[Math.floor(y / H) * masked + at] === 1;
  });
}

/** A value on a scale of 0 to 1 as a byte. */
export function byteOf(value: number): number {
  return Math.max(0, Math.min(255, Math.round(255 * value)));
}

/**
 * Pastes what is visible over what was made.
 *
 * @param original Colours `[…, 3]`.
 * @param made Colours of all pixels, as the model has them.
 * @param isRemoved Whether a pixel, by its place, is hidden from the model.
 */
export function pasteVisible(
  original: Uint8Array,
  made: Uint8Array,
  isRemoved: (pixel: number) => boolean,
): Columns {
  const masked = original.slice();
  const reconstructed = original.slice();
  for (let at = 0; at < original.length; at += 3) {
    if (!isRemoved(at / 3)) continue;
    masked.fill(127, at, at + 3);
    reconstructed.set(made.subarray(at, at + 3), at);
  }
  return { original, masked, reconstructed };
}

/** Draws a reconstruction as a PNG: a row an image; original, masked, reconstructed. */
export async function writePicture(path: string, recipe: Recipe, result: Reconstruction) {
  const { original, masked, reconstructed } = columnsOf(recipe, result);
  const { png } = await arrange([original, masked, reconstructed], recipe);
  await Deno.writeFile(path, png);
}

/** Predicted pixels of image n, `[H, W, C]`, on the scale of the normalised input. */
function undoNormalisation(
  { images, predicted }: Reconstruction,
  n: number,
  { imageSize: [H, W], channels: C, normPix }: Recipe["model"],
  patch: number,
): Float32Array {
  const pixels = new Float32Array(H * W * C);
  const [GH, GW] = [H / patch, W / patch];
  const P = patch * patch * C;
  for (let token = 0; token < GH * GW; token++) {
    const indices = Array.from({ length: P }, (_, i) => {
      const y = Math.floor(token / GW) * patch + Math.floor(i / (patch * C));
      const x = token % GW * patch + Math.floor(i / C) % patch;
      return (y * W + x) * C + i % C;
    });
    const values = indices.map((i) => images[n * H * W * C + i]);
    const mean = values.reduce((sum, v) => sum + v, 0) / P;
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (P - 1);
    const [scale, shift] = normPix ? [Math.sqrt(variance + 1e-6), mean] : [1, 0];
    indices.forEach((to, i) =>
      pixels[to] = predicted[(n * GH * GW + token) * P + i] * scale + shift
    );
  }
  return pixels;
}
