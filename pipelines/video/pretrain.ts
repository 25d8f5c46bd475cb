/**
 * Pretraining on clips: the stages of `../pretrain.ts`, of which the first two differ.
 *
 * @module
 */
import { type ClipBatch, loadClips } from "../../data/clips/loader.ts";
import type { ClipSource } from "../../data/clips/find.ts";
import { type Mask, spaceTimeMask, tubeMask } from "../../data/mask.ts";
import { type Autoencoder, autoencoder } from "../../src/models/autoencoder.ts";
import type { Params } from "../../src/optim.ts";
import type { Key } from "../../src/random.ts";
import { tensor } from "../../src/tensor.ts";
import {
  initialOf,
  type MaskedBatch,
  maskKeys,
  maskTensors,
  modelStages,
  type PretrainStages,
  taskOf,
} from "../pretrain.ts";
import type { Task } from "../train.ts";
import { normaliseClips } from "./clips.ts";
import { cropOf, modelOf, samplingOf, type VideoRecipe } from "./recipe.ts";

/**
 * Makes the stages of a recipe.
 *
 * @param onBatch Sees every batch that is about to be used, for the list of bad files.
 */
export function videoStages(
  recipe: VideoRecipe,
  source: ClipSource,
  onBatch: (batch: ClipBatch) => void = () => {},
): PretrainStages<ClipBatch> {
  const model = videoAutoencoder(recipe);
  const { data, batch: { micro }, seed, optimizer } = recipe;
  return {
    decodeData: (start) =>
      loadClips({
        ...{ source, seed, start, batch: micro, workers: data.workers, maxBad: data.maxBad },
        ...{ sampling: samplingOf(recipe), crop: cropOf(recipe), flip: data.crop.flip },
        ...{ decoder: data.decoder, shortSide: data.shortSide },
        ...(data.cache && { cache: data.cache }),
      }),
    mask: async function* (batches) {
      for await (const batch of batches) {
        onBatch(batch);
        const keys = maskKeys(recipe, batch.position);
        yield {
          images: tensor(normaliseClips(batch.clips, data), batch.shape),
          ...maskTensors(model, clipMask(recipe, model, keys), keys.length),
        };
      }
    },
    ...modelStages(model, optimizer),
  };
}

/** The model of a recipe. */
export function videoAutoencoder(
  recipe: Parameters<typeof modelOf>[0],
): Autoencoder<Params> {
  return autoencoder(modelOf(recipe)) as Autoencoder<never>;
}

/** Masks of clips, one a key. */
export function clipMask(
  { model: { masking }, maskRatio }: Pick<VideoRecipe, "model" | "maskRatio">,
  { grid: [slots, rows, columns] }: Pick<Autoencoder<Params>, "grid">,
  keys: readonly Key[],
): Mask {
  const draw: typeof tubeMask = masking === "tube" ? tubeMask : spaceTimeMask;
  return draw(keys, { slots, cells: rows * columns }, maskRatio);
}

/**
 * The training task of a recipe: its stages, chained.
 *
 * @throws {UsageError} If a pattern of `optimizer.rates` matches no parameter, or all are frozen.
 */
export function videoTask(
  recipe: VideoRecipe,
  source: ClipSource,
  onBatch?: (batch: ClipBatch) => void,
): Task<Params, MaskedBatch> {
  const params = initialOf(videoAutoencoder(recipe), recipe.seed);
  return taskOf(recipe, videoStages(recipe, source, onBatch), params, source.length);
}
