/**
 * Pictures of what a masked autoencoder has learnt: original, masked, reconstructed.
 *
 * @module
 */
import sharp from "sharp";
import { evaluationCrop, normalise } from "../data/augment.ts";
import { DataError } from "../data/dataset.ts";
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
import { channelsOf } from "./images.ts";
import { maskTensors, PICTURES } from "./pretrain.ts";
import type { Recipe } from "./recipe.ts";

/** Images with their masks and predictions. */
export interface Reconstruction {
  /** Normalised pixels `[N, H, W, C]`. */
  readonly images: Float32Array;
  /** `[N, L, patch · patch · C]`. */
  readonly predicted: Float32Array;
  /** 1 where a token (or, under token-wise masking, a cell of stage 1) is removed. */
  readonly removed: Float32Array;
  readonly count: number;
}

/**
 * Reconstructs the evaluation crops of a few images, evenly spread over the source; bad files are
 * passed over.
 */
export async function reconstruct(
  device: Device,
  recipe: Recipe,
  params: Params,
  source: ImageSource,
  count: number,
): Promise<Reconstruction> {
  const model = autoencoder(recipe.model) as Autoencoder<never> as Autoencoder<Params>;
  const { imageSize: [height, width] } = recipe.model;
  const channels = channelsOf(recipe.model.channels);
  const pixels = await pictures(
    source,
    channels,
    count,
    (image) => normalise(evaluationCrop(image, width, height), recipe.data.mean, recipe.data.std),
  );
  const n = pixels.length;
  const images = new Float32Array(n * height * width * channels);
  pixels.forEach((values, i) => images.set(values, i * values.length));
  const keys = Array.from({ length: n }, (_, i) => fold(key(recipe.seed), PICTURES, i));
  const mask = randomMask(keys, model.masked, recipe.maskRatio);
  const batch = {
    images: tensor(images, [n, height, width, channels]),
    ...maskTensors(model, mask, n),
  };
  const plan = await compile(
    device,
    ({ params, batch }) => ({
      predicted: inStage(
        "reconstruct",
        () => model.decode(params, model.encode(params, batch), batch),
      ),
    }),
    { params, batch: batch as typeof batch & Record<string, never> },
  );
  const { predicted } = plan.run({ params, batch: batch as typeof batch & Record<string, never> });
  const [values] = await readAll(device, [predicted]);
  plan.destroy();
  return { images, predicted: values as Float32Array, removed: mask.removed, count: n };
}

/** The first good ones of images spread over a source. */
async function pictures<Out>(
  source: ImageSource,
  channels: 1 | 3,
  count: number,
  use: (image: Image) => Out,
): Promise<Out[]> {
  const dataset = await openSource(source, channels);
  const found: Out[] = [];
  const wanted = Math.min(count, dataset.length);
  const stride = Math.floor(dataset.length / wanted);
  for (let offset = 0; offset < stride && found.length < wanted; offset++) {
    for (let i = offset; i < dataset.length && found.length < wanted; i += stride) {
      try {
        found.push(use(await dataset.get(i)));
      } catch (error) {
        if (!(error instanceof DataError)) throw error; // a bad file: another takes its place
      }
    }
  }
  return found;
}

/**
 * Draws a reconstruction as a PNG: a row an image; original, masked, and reconstructed with the
 * normalisation of the targets undone and the visible pixels pasted.
 */
export async function writePicture(path: string, recipe: Recipe, result: Reconstruction) {
  const { model: settings, data } = recipe;
  const [H, W] = settings.imageSize;
  const C = settings.channels;
  const { patch, masked } = autoencoder(settings);
  const cell = Math.sqrt(H * W / masked); // side of what is masked at once
  const gap = Math.max(2, Math.round(W / 32));
  const [width, height] = [3 * W + 4 * gap, result.count * (H + gap) + gap];
  const canvas = new Uint8Array(width * height * 3).fill(255);
  const byte = (value: number, channel: number) =>
    Math.max(0, Math.min(255, Math.round(255 * (value * data.std[channel] + data.mean[channel]))));

  for (let n = 0; n < result.count; n++) {
    const restored = undoNormalisation(result, n, settings, patch);
    for (let y = 0; y < H; y++) {
      for (let x = 0; x < W; x++) {
        const at = ((n * H + y) * W + x) * C;
        const isRemoved =
          result.removed[n * masked + Math.floor(y / cell) * (W / cell) + Math.floor(x / cell)];
        for (let rgb = 0; rgb < 3; rgb++) {
          const channel = Math.min(rgb, C - 1);
          const original = byte(result.images[at + channel], channel);
          const made = byte(restored[(y * W + x) * C + channel], channel);
          [original, isRemoved ? 127 : original, isRemoved ? made : original].forEach(
            (value, column) => {
              const left = gap + column * (W + gap) + x;
              canvas[((gap + n * (H + gap) + y) * width + left) * 3 + rgb] = value;
            },
          );
        }
      }
    }
  }
  const scale = Math.max(1, Math.floor(224 / W)); // small images are drawn larger
  await sharp(canvas, { raw: { width, height, channels: 3 } })
    .resize(width * scale, height * scale, { kernel: "nearest" })
    .png()
    .toFile(path);
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
