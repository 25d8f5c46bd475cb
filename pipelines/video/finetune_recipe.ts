/**
 * The recipe of a fine-tuning run on clips: the image recipe's head, mixes and optimizer, the clips of
 * a pretraining run.
 *
 * @module
 */
import type { ClassifierSettings } from "../../src/models/classifier.ts";
import type { VideoEncoderSettings } from "../../src/models/encoder.ts";
import {
  type AugmentSettings,
  type FinetunePreset,
  type HeadSettings,
  validateTuning,
} from "../finetune_recipe.ts";
import { inspect, wrongKind } from "../from_checkpoint.ts";
import type { RunSettings } from "../recipe.ts";
import { validateRun, within } from "../validate.ts";
import {
  type ClipDataSettings,
  modelOf,
  validateClips,
  validateVideoModel,
  type VideoModel,
} from "./recipe.ts";

/** Clips to fine-tune on. */
export interface TunedClips extends ClipDataSettings {
  /** The single-frame control: every clip shows its middle frame alone, T times. */
  readonly still: boolean;
}

/**
 * A fine-tuning recipe before it meets a checkpoint. With `augment.repeats` R, `batch.effective`
 * counts videos, as epochs do, and `batch.micro` the views that the device holds at once: R of a
 * video.
 */
export interface VideoFinetunePreset extends Omit<FinetunePreset, "data" | "augment"> {
  readonly data: TunedClips;
  readonly augment: Omit<AugmentSettings, "colorJitter">;
}

/** Settings of one fine-tuning run. */
export interface VideoFinetuneRecipe extends Omit<VideoFinetunePreset, "model"> {
  /** File that the encoder is from; kept so that a run tells where it began. */
  readonly pretrained: string;
  readonly model: VideoModel & HeadSettings;
}

/** Whether a recipe of fine-tuning is of clips. */
export function isOfClips<R extends RunSettings>(
  recipe: R | VideoFinetunePreset,
): recipe is VideoFinetunePreset {
  return "sampling" in recipe.data;
}

/** The classifier of a recipe. */
export function videoClassifierOf(
  { model: { pooling, dropPath, ...model }, data }: Pick<VideoFinetuneRecipe, "model" | "data">,
  classes: number,
): ClassifierSettings<VideoEncoderSettings> {
  return { encoder: modelOf({ model: model as VideoModel, data }), classes, pooling, dropPath };
}

/**
 * A preset with what a checkpoint tells: the model's sizes, and its clips' mean and deviation.
 *
 * @throws {UsageError} If there is no such file, or its model is one of images.
 */
export async function completeClips(
  preset: VideoFinetunePreset,
  checkpoint: string,
  fields: readonly string[] = [],
): Promise<VideoFinetuneRecipe> {
  const { settings } = await inspect(checkpoint, fields);
  if (!("frames" in settings)) throw wrongKind(preset, checkpoint, "images", "clips");
  const { mean, std, ...model } = settings;
  // The paper's figures are of the base size alone.
  const isBase = settings.kind === "videomcmae" && settings.embedDims[2] === 768;
  return {
    ...preset,
    paper: isBase ? preset.paper : null,
    pretrained: checkpoint,
    model: { ...model as VideoModel, ...preset.model },
    data: { ...preset.data, mean, std },
  };
}

/**
 * Checks that a recipe describes a run that can start.
 *
 * @throws {UsageError} For the first value that does not fit; it names the field.
 */
export function validateVideoFinetune(recipe: VideoFinetuneRecipe): void {
  const { model, data, augment: { repeats }, batch: { micro } } = recipe;
  validateVideoModel(model);
  validateRun(recipe, model.channels);
  validateClips(data);
  validateTuning(recipe);
  within("batch.micro", micro, micro % repeats === 0, `a multiple of augment.repeats = ${repeats}`);
}
