/**
 * Fine-tuning on clips: the stages of `../finetune.ts`, of which the first two differ.
 *
 * @module
 */
import type { ClipSource } from "../../data/clips/find.ts";
import { type ClipBatch, loadClips } from "../../data/clips/loader.ts";
import type { ClassifierParams, ClassifierSettings } from "../../src/models/classifier.ts";
import type { VideoEncoderSettings } from "../../src/models/encoder.ts";
import type { Params } from "../../src/optim.ts";
import {
  classifierTask,
  type FinetuneStages,
  headStages,
  type LabelledBatch,
  mixedBatch,
} from "../finetune.ts";
import { pace } from "../pretrain.ts";
import type { Task } from "../train.ts";
import { normaliseClips } from "./clips.ts";
import { videoClassifierOf, type VideoFinetuneRecipe } from "./finetune_recipe.ts";
import { cropOf, samplingOf } from "./recipe.ts";
import { stillClips } from "./still.ts";

/**
 * Makes the stages of a recipe.
 *
 * @param source Clips that all have a label.
 * @param onBatch Sees every batch that is about to be used, for the list of bad files.
 */
export function videoFinetuneStages(
  recipe: VideoFinetuneRecipe,
  settings: ClassifierSettings<VideoEncoderSettings>,
  source: ClipSource,
  onBatch: (batch: ClipBatch) => void = () => {},
): FinetuneStages<ClipBatch> {
  const { data, batch: { micro }, augment, seed, optimizer } = recipe;
  const { randAugment, eraseProbability, eraseMode, repeats } = augment;
  const { mean, std } = data;
  return {
    decodeData: (start) =>
      loadClips({
        ...{ source, seed, start, batch: micro / repeats, repeats, randAugment },
        ...{ workers: data.workers, maxBad: data.maxBad, decoder: data.decoder },
        ...{ sampling: samplingOf(recipe), crop: cropOf(recipe), flip: data.crop.flip },
        shortSide: data.shortSide,
        ...(eraseProbability > 0 && {
          erase: { probability: eraseProbability, mode: eraseMode, mean, std },
        }),
        ...(data.cache && { cache: data.cache }),
      }),
    mix: async function* (batches) {
      for await (const batch of batches) {
        onBatch(batch);
        const { shape, labels, position } = batch;
        const clips = data.still ? stillClips(batch.clips, shape) : batch.clips;
        const pixels = normaliseClips(clips, data);
        yield mixedBatch(recipe, settings, pixels, shape, labels!, position);
      }
    },
    ...headStages(settings, optimizer),
  };
}

/**
 * The training task of a recipe: its stages, chained. Samples are videos, of which a micro-batch has
 * `augment.repeats` views each.
 *
 * @param params Initial parameters.
 * @throws {UsageError} If a pattern of `optimizer.rates` matches no parameter, or all are frozen.
 */
export function videoFinetuneTask(
  recipe: VideoFinetuneRecipe,
  params: ClassifierParams,
  { source, classes, onBatch }: {
    readonly source: ClipSource;
    readonly classes: number;
    readonly onBatch?: (batch: ClipBatch) => void;
  },
): Task<Params, LabelledBatch> {
  const { batch: { micro, effective }, augment: { repeats } } = recipe;
  const settings = videoClassifierOf(recipe, classes);
  const stages = videoFinetuneStages(recipe, settings, source, onBatch);
  return {
    ...classifierTask(recipe, stages, params),
    ...pace(recipe, source.length),
    microBatch: micro / repeats,
    accumulate: repeats * effective / micro,
  };
}
