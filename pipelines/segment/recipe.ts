/**
 * The recipe of a segmentation run: an encoder under UPerNet, images with masks, a polynomial decay.
 *
 * @module
 */
import type { LabelRule } from "../../data/masks/label_rule.ts";
import type { Scale } from "../../data/masks/resize.ts";
import type { McmaeSettings } from "../../src/models/mcmae.ts";
import type { SegmenterSettings } from "../../src/models/segmenter.ts";
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
export type SegmenterFields =
  & Omit<SegmenterSettings, "encoder" | "classes">
  & Pick<McmaeSettings, "imageSize">;

/** Images with masks, and how they are changed. */
export interface MaskDataSettings extends SampleSettings {
  /** Number of classes; `null` for that of the data's names. */
  readonly classes: number | null;
  /** Label of pixels that count for nothing. */
  readonly ignoreIndex: number;
  /** Whether 0 is ignored too, and the classes begin at 1, as in ADE20K. */
  readonly reduceZeroLabel: boolean;
  readonly resize: {
    /** Sides in pixels that an image is made to fit into, at ratio 1; `null` for its own size. */
    readonly long: number | null;
    readonly short: number | null;
    /** Factors on them, drawn for each training image. */
    readonly ratio: readonly [number, number];
  };
  /** Largest share of one class in a crop, which is drawn anew up to ten times. */
  readonly categoryShare: number;
  readonly flip: boolean;
  /** Whether brightness, contrast, saturation and hue are changed. */
  readonly photometric: boolean;
}

/** What the paper reports, in mIoU. */
export interface SegmentationFigure {
  readonly mIoU: number;
  /** Parameters of the whole model, in millions. */
  readonly parameters: number;
  readonly where: string;
}

/** A segmentation recipe before it meets a checkpoint. */
export interface SegmentPreset extends RunSettings {
  readonly model: SegmenterFields;
  readonly memory: MemorySettings;
  readonly data: MaskDataSettings;
  readonly optimizer: AdamWFields & {
    /** Factor on the rate from a layer to the one below. */
    readonly layerDecay: number;
    /** Of the polynomial decay. */
    readonly power: number;
  };
  /** What the paper reports for these settings. */
  readonly published: SegmentationFigure | null;
}

/** Settings of one segmentation run. */
export interface SegmentRecipe extends Omit<SegmentPreset, "model"> {
  /** File that the encoder is from; kept so that a run tells where it began. */
  readonly pretrained: string;
  readonly model: McmaeSettings & SegmenterFields;
}

/** Whether a recipe of fine-tuning is one of segmentation. */
export function isOfMasks(recipe: RunSettings): recipe is SegmentPreset {
  return "reduceZeroLabel" in recipe.data;
}

/** The segmenter of a recipe. */
export function segmenterOf(
  { model }: Pick<SegmentRecipe, "model">,
  classes: number,
): SegmenterSettings {
  const { relativePositions, layerScale, headChannels, ...rest } = model;
  const { auxiliaryChannels, dropout, dropPath, ...encoder } = rest;
  return {
    ...{ encoder, classes, relativePositions, layerScale },
    ...{ headChannels, auxiliaryChannels, dropout, dropPath },
  };
}

/** What the labels of a recipe's masks mean. */
export function ruleOf(
  { ignoreIndex, reduceZeroLabel }: Pick<MaskDataSettings, "ignoreIndex" | "reduceZeroLabel">,
  classes: number,
): LabelRule {
  return { classes, ignoreIndex, reduceZeroLabel };
}

/** What images are resized to at ratio 1; their own size if null. */
export function scaleOf(
  { long, short }: Pick<MaskDataSettings["resize"], "long" | "short">,
): Scale | null {
  return long === null || short === null ? null : { long, short };
}

/**
 * A preset with what a checkpoint tells: the model's sizes, and its images' mean and deviation.
 *
 * @throws {UsageError} If there is no such file, or its model is no MCMAE of images.
 */
export async function completeSegment(
  preset: SegmentPreset,
  checkpoint: string,
  fields: readonly string[] = [],
): Promise<SegmentRecipe> {
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
export function validateSegment(recipe: SegmentRecipe): void {
  const { model, data, optimizer } = recipe;
  validateEncoder(model);
  validateRun(recipe, model.channels);
  validateAdamW(optimizer);
  const least = 3 * model.patchSizes.reduce((product, size) => product * size);
  const isLarge = Math.min(...model.imageSize) >= least;
  within(
    "model.imageSize",
    model.imageSize.join(","),
    isLarge,
    `at least ${least} along each side`,
  );
  positiveIntegers("model.headChannels", model.headChannels);
  positiveIntegers("model.auxiliaryChannels", model.auxiliaryChannels);
  const { dropout, dropPath, layerScale } = model;
  within("model.dropout", dropout, dropout >= 0 && dropout < 1, "in 0–1, without 1");
  within("model.dropPath", dropPath, dropPath >= 0 && dropPath < 1, "in 0–1, without 1");
  within("model.layerScale", layerScale, layerScale === null || layerScale > 0, "positive or null");
  const { layerDecay, power } = optimizer;
  const decays = layerDecay > 0 && layerDecay <= 1;
  within("optimizer.layerDecay", layerDecay, decays, "above 0, at most 1");
  within("optimizer.power", power, power > 0, "positive");
  validateMasks(data);
}

function validateMasks({ classes, ignoreIndex, resize, categoryShare, cache }: MaskDataSettings) {
  if (classes !== null) positiveIntegers("data.classes", classes);
  const isIndex = Number.isSafeInteger(ignoreIndex) && ignoreIndex >= (classes ?? 0) &&
    ignoreIndex < 2 ** 16;
  within("data.ignoreIndex", ignoreIndex, isIndex, `in ${classes ?? 0} … 65535`);
  const { long, short, ratio: [min, max] } = resize;
  for (const [name, side] of Object.entries({ long, short })) {
    if (side !== null) positiveIntegers(`data.resize.${name}`, side);
  }
  const pairs = (long === null) === (short === null);
  within("data.resize.long", long, pairs, "null where data.resize.short is, and only there");
  within("data.resize.ratio", `${min},${max}`, min > 0 && min <= max, "a positive range");
  const isShare = categoryShare > 0 && categoryShare <= 1;
  within("data.categoryShare", categoryShare, isShare, "above 0, at most 1");
  within("data.cache", cache, cache === null, "null: masks are not cached");
}
