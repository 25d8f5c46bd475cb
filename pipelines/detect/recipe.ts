/**
 * The recipe of a detection run: an encoder under Mask R-CNN, images with annotated things, a cosine.
 *
 * @module
 */
import type { ThingScale } from "../../data/things/views.ts";
import { COCO_INSTANCES } from "../../src/detection/instances.ts";
import { EVALUATION_PROPOSALS } from "../../src/detection/proposals.ts";
import type { EvaluationRule, MaskRcnnSettings, TrainingRule } from "../../src/models/mask_rcnn.ts";
import type { McmaeSettings } from "../../src/models/mcmae.ts";
import type { NormKind } from "../../src/models/normed_convolution.ts";
import { complete } from "../from_checkpoint.ts";
import type { AdamWFields, MemorySettings, RunSettings, SampleSettings } from "../recipe.ts";
import { UsageError } from "../usage.ts";
import {
  positiveIntegers,
  validateAdamW,
  validateEncoder,
  validateRun,
  within,
} from "../validate.ts";

/** What such a run is told of its model; the checkpoint tells the rest. */
export interface DetectorFields extends Pick<McmaeSettings, "imageSize"> {
  /** Maps of four scales that are joined, or a pyramid of the last one. */
  readonly backbone: "windowed" | "vitdet";
  /** Blocks of stage 3 that attend to all tokens, from 0. */
  readonly globalBlocks: readonly number[];
  /** Tokens along the side of the other blocks' windows. */
  readonly windowSize: number;
  /** Whether every other windowed block's windows are shifted, as the paper says. */
  readonly shift: boolean;
  /** Channels of the pyramid. */
  readonly outChannels: number;
  readonly headWidth: number;
  readonly rpnConvolutions: number;
  readonly norm: NormKind;
  /** Stochastic depth of the last block; it grows from 0 at the first. */
  readonly dropPath: number;
}

/** Images with things, and how they are changed. */
export interface ThingDataSettings extends SampleSettings {
  /** Factors on the size that fits the model's images; `null` for the edges below. */
  readonly jitter: readonly [number, number] | null;
  /** Lengths of the shorter edge, of which evaluation takes the last, and the longest other edge. */
  readonly shorter: readonly number[];
  readonly longer: number;
  readonly flip: boolean;
  /** Most things of an image. */
  readonly mostThings: number;
}

/** How many boxes a step looks at. */
export interface SamplingFields {
  /** Best anchors of a map, and proposals of an image. */
  readonly before: number;
  readonly after: number;
  /** Anchors, and regions, of an image that are learnt from. */
  readonly anchors: number;
  readonly regions: number;
}

/** What the paper reports. */
export interface DetectionFigure {
  readonly boxAP: number;
  readonly maskAP: number;
  /** Parameters of the whole model, in millions. */
  readonly parameters: number;
  readonly where: string;
}

/** A detection recipe before it meets a checkpoint. */
export interface DetectPreset extends RunSettings {
  readonly model: DetectorFields;
  readonly memory: MemorySettings;
  readonly data: ThingDataSettings;
  readonly sampling: SamplingFields;
  readonly optimizer: AdamWFields;
  /** What the paper reports for these settings. */
  readonly published: DetectionFigure | null;
}

/** Settings of one detection run. */
export interface DetectRecipe extends Omit<DetectPreset, "model"> {
  /** File that the encoder is from; kept so that a run tells where it began. */
  readonly pretrained: string;
  readonly model: McmaeSettings & DetectorFields;
}

/** Whether a recipe of fine-tuning is one of detection. */
export function isOfThings(recipe: RunSettings): recipe is DetectPreset {
  return "mostThings" in recipe.data;
}

/** The detector of a recipe. */
export function detectorOf(
  { model }: Pick<DetectRecipe, "model">,
  classes: number,
): MaskRcnnSettings {
  const { backbone, globalBlocks, windowSize, shift, outChannels, ...rest } = model;
  const { headWidth, rpnConvolutions, norm, dropPath: _, ...encoder } = rest;
  const windows = { encoder, imageSize: encoder.imageSize, globalBlocks, windowSize, outChannels };
  return {
    backbone: backbone === "vitdet"
      ? { kind: "vitdet", ...windows }
      : { kind: "windowed", ...windows, shift },
    ...{ classes, headWidth, rpnConvolutions, norm },
  };
}

/** How a step draws what it learns from. */
export function trainingRuleOf({ sampling }: Pick<DetectRecipe, "sampling">): TrainingRule {
  const { before, after, anchors, regions } = sampling;
  return {
    proposals: { before, after, overlap: 0.7 },
    anchors: { count: anchors, positive: 0.5 },
    regions: { count: regions, positive: 0.25 },
  };
}

/** What is looked at in evaluation: as published, but for as many proposals as in training at most. */
export function evaluationRuleOf(
  { before, after }: Pick<SamplingFields, "before" | "after">,
): EvaluationRule {
  const { before: most, after: mostAfter, overlap } = EVALUATION_PROPOSALS;
  return {
    proposals: { before: Math.min(before, most), after: Math.min(after, mostAfter), overlap },
    instances: COCO_INSTANCES,
  };
}

/** How large images are made. */
export function scaleOf(
  { jitter, shorter, longer }: Pick<ThingDataSettings, "jitter" | "shorter" | "longer">,
  [height, width]: readonly [number, number],
): ThingScale {
  return { canvas: { height, width }, jitter, shorter, longer };
}

/**
 * A preset with what a checkpoint tells: the model's sizes, and its images' mean and deviation.
 *
 * @throws {UsageError} If there is no such file, or its model is no MCMAE of images.
 */
export async function completeDetect(
  preset: DetectPreset,
  checkpoint: string,
  fields: readonly string[] = [],
): Promise<DetectRecipe> {
  const completed = await complete(preset, checkpoint, fields);
  const { model } = completed;
  if (model.kind !== "mcmae") {
    throw new UsageError(
      `Cannot use ${checkpoint} with the recipe ${preset.name}: a plain ViT has no maps of four ` +
        "scales; take an MCMAE",
    );
  }
  // The paper's figures are of the base size alone.
  const isBase = model.embedDims[2] === 768 && model.depths[2] === 11;
  return { ...completed, model, published: isBase ? preset.published : null };
}

/**
 * Checks that a recipe describes a run that can start.
 *
 * @throws {UsageError} For the first value that does not fit; it names the field.
 */
export function validateDetect(recipe: DetectRecipe): void {
  const { model, optimizer, sampling } = recipe;
  validateEncoder(model);
  validateRun(recipe, model.channels);
  validateAdamW(optimizer);
  const { patchSizes, depths: [, , depth] } = model;
  const cells = patchSizes.join(",");
  within("model.patchSizes", cells, cells === "4,2,2", "4,2,2: maps at strides 4, 8 and 16");
  const sides = model.imageSize.join(",");
  const fits = model.imageSize.every((side) => side % 32 === 0);
  within("model.imageSize", sides, fits, "multiples of 32");
  const blocks = model.globalBlocks.every((block) =>
    Number.isSafeInteger(block) && block >= 0 && block < depth
  );
  within("model.globalBlocks", model.globalBlocks.join(","), blocks, `blocks below ${depth}`);
  const { windowSize, outChannels, headWidth, rpnConvolutions, dropPath } = model;
  positiveIntegers("model.windowSize", windowSize);
  positiveIntegers("model.outChannels", outChannels);
  positiveIntegers("model.headWidth", headWidth);
  positiveIntegers("model.rpnConvolutions", rpnConvolutions);
  within("model.dropPath", dropPath, dropPath >= 0 && dropPath < 1, "in 0–1, without 1");
  for (const [name, value] of Object.entries(sampling)) positiveIntegers(`sampling.${name}`, value);
  validateThings(recipe.data, model.imageSize);
}

function validateThings(
  { jitter, shorter, longer, mostThings, cache }: ThingDataSettings,
  imageSize: readonly [number, number],
): void {
  positiveIntegers("data.mostThings", mostThings);
  positiveIntegers("data.shorter", ...shorter);
  positiveIntegers("data.longer", longer);
  within("data.cache", cache, cache === null, "null: images with things are not cached");
  if (jitter) {
    const [min, max] = jitter;
    within("data.jitter", jitter.join(","), min > 0 && min <= max, "a positive range, or null");
    return;
  }
  const least = Math.min(...imageSize);
  within("data.shorter", shorter.join(","), shorter.length > 0, "one length or more");
  within("data.longer", longer, longer <= least, `at most model.imageSize, ${least}`);
}
