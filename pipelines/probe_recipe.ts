/**
 * The recipe of a linear probe.
 *
 * @module
 */
import type { ClassifierSettings } from "../src/models/classifier.ts";
import type { EncoderSettings } from "../src/models/encoder.ts";
import { type EvaluatedData, type PaperFigure, validateCropPct } from "./finetune_recipe.ts";
import type { OptimizerFields, RunSettings } from "./recipe.ts";
import { validateCrop, validateEncoder, validateRun, within } from "./validate.ts";

/** What the layer takes. */
export type PoolSettings = Pick<ClassifierSettings, "pooling">;

/** A recipe of probing before it meets a checkpoint. */
export interface ProbePreset extends RunSettings {
  readonly model: PoolSettings;
  readonly data: EvaluatedData;
  readonly optimizer: OptimizerFields & { readonly momentum: number };
  /** What the paper reports for these settings. */
  readonly paper: PaperFigure | null;
}

/** Settings of one probe. */
export interface ProbeRecipe extends Omit<ProbePreset, "model"> {
  /** File that the encoder is from. */
  readonly pretrained: string;
  readonly model: EncoderSettings & PoolSettings;
}

/**
 * Checks that a recipe describes a probe that can start.
 *
 * @throws {UsageError} For the first value that does not fit; it names the field.
 */
export function validateProbe(recipe: ProbeRecipe): void {
  const { model, data: { cropPct }, optimizer: { momentum } } = recipe;
  validateEncoder(model);
  validateRun(recipe, model.channels);
  validateCrop(recipe.data);
  const { batch: { micro }, optimizer: { rates } } = recipe;
  within("batch.micro", micro, micro > 1, "2 or more: one image has no variance");
  within("optimizer.rates", rates, rates.length === 0, "empty: one layer is trained");
  validateCropPct(cropPct);
  within("optimizer.momentum", momentum, momentum >= 0 && momentum < 1, "in 0–1, without 1");
}
