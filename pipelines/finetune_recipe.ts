/**
 * The recipe of a fine-tuning run: what pretraining has not is how images are mixed and augmented,
 * and the classifier.
 *
 * @module
 */
import { parseRandAugment } from "../data/rand_augment.ts";
import type { EvaluationCrop } from "../data/evaluation_loader.ts";
import type { Mixup } from "../data/mixup.ts";
import type { Erasing } from "../data/random_erasing.ts";
import type { ClassifierSettings } from "../src/models/classifier.ts";
import type { EncoderSettings } from "../src/models/encoder.ts";
import type { AdamWFields, DataSettings, MemorySettings, RunSettings } from "./recipe.ts";
import { UsageError } from "./usage.ts";
import { validateAdamW, validateCrop, validateEncoder, validateRun, within } from "./validate.ts";

/** What a fine-tuning run is told of its model; the checkpoint tells the rest. */
export type HeadSettings = Pick<ClassifierSettings, "pooling" | "dropPath">;

/** How training images are changed, besides their crop. */
export interface AugmentSettings {
  /** timm's text, such as `rand-m9-mstd0.5-inc1`; `null` for colour jitter. */
  readonly randAugment: string | null;
  /** Strength of colour jitter, where there is no RandAugment; 0 for none. */
  readonly colorJitter: number;
  /** Probability that a part of an image is erased. */
  readonly eraseProbability: number;
  readonly eraseMode: Erasing["mode"];
  /** Views of each image in a row (repeated augmentation). */
  readonly repeats: number;
}

/** How images are mixed in pairs; both alphas 0 for not at all. */
export interface MixSettings {
  readonly mode: Mixup["mode"];
  readonly mixupAlpha: number;
  readonly cutmixAlpha: number;
  /** Probability of being mixed at all. */
  readonly probability: number;
  /** Probability of CutMix where there are both. */
  readonly switchProbability: number;
  /** Label smoothing. */
  readonly smoothing: number;
}

/** Images that are evaluated on too. */
export interface EvaluatedData extends DataSettings {
  /**
   * Share of the resized image that evaluation takes; `null` as published, 224/256 up to 224 pixels
   * and all of it above. Small images want 1.
   */
  readonly cropPct: number | null;
}

/** The crop of evaluation. */
export function evaluationCropOf(
  { imageSize: [height, width] }: Pick<EncoderSettings, "imageSize">,
  { cropPct }: Pick<EvaluatedData, "cropPct">,
): EvaluationCrop {
  return { width, height, ...(cropPct !== null && { cropPct }) };
}

/** A figure of the paper, to be printed beside ours. */
export interface PaperFigure {
  readonly top1: number;
  /** Table and row. */
  readonly where: string;
}

/** A fine-tuning recipe before it meets a checkpoint. */
export interface FinetunePreset extends RunSettings {
  readonly model: HeadSettings;
  readonly memory: MemorySettings;
  readonly data: EvaluatedData;
  readonly optimizer: AdamWFields & {
    /** Factor on the rate from a layer to the one below. */
    readonly layerDecay: number;
  };
  readonly augment: AugmentSettings;
  readonly mix: MixSettings;
  /** What the paper reports for these settings. */
  readonly paper: PaperFigure | null;
}

/** Settings of one fine-tuning run. */
export interface FinetuneRecipe extends Omit<FinetunePreset, "model"> {
  /** File that the encoder is from; kept so that a run tells where it began. */
  readonly pretrained: string;
  readonly model: EncoderSettings & HeadSettings;
}

/** The classifier of a recipe; a probe's has no stochastic depth. */
export function classifierOf(
  { model: { pooling, dropPath = 0, ...encoder } }: {
    readonly model: EncoderSettings & Pick<HeadSettings, "pooling"> & Partial<HeadSettings>;
  },
  classes: number,
): ClassifierSettings {
  return { encoder: encoder as EncoderSettings, classes, pooling, dropPath };
}

/**
 * Checks that a recipe describes a run that can start.
 *
 * @throws {UsageError} For the first value that does not fit; it names the field.
 */
export function validateFinetune(recipe: FinetuneRecipe): void {
  const { model, data, augment } = recipe;
  validateEncoder(model);
  validateRun(recipe, model.channels);
  validateCrop(data);
  validateCropPct(data.cropPct);
  natural("augment.colorJitter", augment.colorJitter);
  validateTuning(recipe);
}

/**
 * Checks what fine-tuning has for images and clips alike.
 *
 * @throws {UsageError} As {@linkcode validateFinetune}.
 */
export function validateTuning(
  { model: { dropPath }, optimizer, augment, mix, batch }:
    & Pick<FinetuneRecipe, "optimizer" | "mix" | "batch">
    & { readonly model: HeadSettings; readonly augment: Omit<AugmentSettings, "colorJitter"> },
): void {
  within("model.dropPath", dropPath, dropPath >= 0 && dropPath < 1, "in 0–1, without 1");
  validateAdamW(optimizer);
  const { layerDecay } = optimizer;
  within(
    "optimizer.layerDecay",
    layerDecay,
    layerDecay > 0 && layerDecay <= 1,
    "above 0, at most 1",
  );
  if (augment.randAugment !== null) {
    try {
      parseRandAugment(augment.randAugment);
    } catch (cause) {
      throw new UsageError(`Recipe field augment.randAugment: ${(cause as Error).message}`, {
        cause,
      });
    }
  }
  share("augment.eraseProbability", augment.eraseProbability);
  const { repeats } = augment;
  within(
    "augment.repeats",
    repeats,
    Number.isSafeInteger(repeats) && repeats > 0,
    "a positive integer",
  );
  natural("mix.mixupAlpha", mix.mixupAlpha);
  natural("mix.cutmixAlpha", mix.cutmixAlpha);
  share("mix.probability", mix.probability);
  share("mix.switchProbability", mix.switchProbability);
  share("mix.smoothing", mix.smoothing);
  const pairs = mix.mode !== "pair" || batch.micro % 2 === 0 || !mixes(mix);
  within("batch.micro", batch.micro, pairs, "even where mix.mode is pair");
}

function share(name: string, value: number): void {
  within(name, value, value >= 0 && value <= 1, "in 0–1");
}

function natural(name: string, value: number): void {
  within(name, value, value >= 0 && Number.isFinite(value), "0 or more");
}

/** @throws {UsageError} If it is no share. */
export function validateCropPct(cropPct: EvaluatedData["cropPct"]): void {
  const fits = cropPct === null || cropPct > 0 && cropPct <= 1;
  within("data.cropPct", cropPct, fits, "a share above 0, at most 1, or null");
}

/** Whether images are mixed at all. */
export function mixes({ mixupAlpha, cutmixAlpha, probability }: MixSettings): boolean {
  return probability > 0 && (mixupAlpha > 0 || cutmixAlpha > 0);
}
