/**
 * Clips as a video model reconstructs them: original, masked, reconstructed.
 *
 * @module
 */
import type { ClipSource } from "../../data/clips/find.ts";
import type { Device } from "../../src/device.ts";
import type { Params } from "../../src/optim.ts";
import { fold, key } from "../../src/random.ts";
import { tensor } from "../../src/tensor.ts";
import { maskTensors, PICTURES } from "../pretrain.ts";
import {
  byteOf,
  type Columns,
  compileReconstruction,
  type OnBad,
  pasteVisible,
  type Reconstruction,
  type Reconstructor,
} from "../reconstruction.ts";
import { normaliseClips } from "./clips.ts";
import { clipMask, videoAutoencoder } from "./pretrain.ts";
import type { ClipDataSettings, VideoRecipe } from "./recipe.ts";
import { type ClipViewSettings, evaluationClips } from "./views.ts";

/** What of a recipe decides a reconstruction. */
export interface ClipReconstructionSettings
  extends ClipViewSettings, Pick<VideoRecipe, "model" | "maskRatio" | "seed"> {
  readonly model: VideoRecipe["model"];
  readonly data: ClipViewSettings["data"] & Pick<ClipDataSettings, "mean" | "std">;
}

/**
 * Prepares to reconstruct the evaluation views of a few videos, spread over the source; bad files are
 * passed over.
 *
 * @param params Parameters on the device.
 */
export async function prepareClipReconstruction(
  device: Device,
  recipe: ClipReconstructionSettings,
  params: Params,
  source: ClipSource,
  count: number,
  onBad?: OnBad,
): Promise<Reconstructor> {
  const model = videoAutoencoder(recipe);
  const { clips, shape } = await evaluationClips(recipe, source, count, onBad);
  const n = shape[0];
  const keys = Array.from({ length: n }, (_, i) => fold(key(recipe.seed), PICTURES, i));
  const mask = clipMask(recipe, model, keys);
  const images = normaliseClips(clips, recipe.data);
  const batch = { images: tensor(images, shape), ...maskTensors(model, mask, n) };
  return await compileReconstruction(device, model, params, batch, {
    ...{ images, removed: mask.removed, count: n },
  });
}

/** Colours of a reconstruction `[N, T, H, W, 3]`. */
export function clipColumns(
  { model, data }: Parameters<typeof videoAutoencoder>[0],
  { images, predicted, removed, count }: Reconstruction,
): Columns {
  const { frames, tubelet, imageSize: [H, W], normPix } = model;
  const { mean, std } = data;
  const { patch, tokens, grid: [, GH, GW] } = videoAutoencoder({ model, data });
  const size = frames * H * W;
  const original = new Uint8Array(count * size * 3);
  const made = new Uint8Array(original.length);
  const places = tubelet * patch * patch; // pixels of a cube
  const cube = new Float64Array(places);
  for (let token = 0; token < count * tokens; token++) {
    const [n, at] = [Math.floor(token / tokens), token % tokens];
    const corner = n * size + Math.floor(at / (GH * GW)) * tubelet * H * W +
      Math.floor(at / GW) % GH * patch * W + at % GW * patch;
    const pixelOf = (place: number) =>
      corner + Math.floor(place / (patch * patch)) * H * W +
      Math.floor(place / patch) % patch * W + place % patch;
    for (let c = 0; c < 3; c++) {
      for (let place = 0; place < places; place++) {
        cube[place] = images[3 * pixelOf(place) + c] * std[c] + mean[c];
      }
      const [scale, shift] = normPix ? momentsOf(cube) : [1, 0];
      for (let place = 0; place < places; place++) {
        const to = 3 * pixelOf(place) + c;
        original[to] = byteOf(cube[place]);
        made[to] = byteOf(predicted[(token * places + place) * 3 + c] * scale + shift);
      }
    }
  }
  return pasteVisible(original, made, (pixel) => {
    const [slot, y, x] = [
      Math.floor(pixel / (tubelet * H * W)),
      Math.floor(pixel / W) % H,
      pixel % W,
    ];
    const cell = Math.floor(y / patch) * GW + Math.floor(x / patch);
    return removed[slot * GH * GW + cell] === 1; // slots run over all clips
  });
}

/** What `cubeTarget` divides by and subtracts: deviation, the unbiased one plus 1e-6, and mean. */
function momentsOf(values: Float64Array): [deviation: number, mean: number] {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1);
  return [Math.sqrt(variance) + 1e-6, mean];
}
