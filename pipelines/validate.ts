/** Checks of a recipe's values, before anything is read or allocated. */
import type { AutoencoderSettings } from "../src/models/decoder.ts";
import type { MaeSettings } from "../src/models/mae.ts";
import type { McmaeSettings } from "../src/models/mcmae.ts";
import type { VideoMaeSettings } from "../src/models/videomae.ts";
import type { VideoMcmaeSettings } from "../src/models/videomcmae.ts";
import type { AdamWFields, DataSettings, Recipe, RunSettings, SampleSettings } from "./recipe.ts";
import { UsageError } from "./usage.ts";

/** Sizes of any encoder, of images or of clips. */
type Sizes =
  | McmaeSettings
  | MaeSettings
  | Omit<VideoMcmaeSettings, "mean" | "std">
  | Omit<VideoMaeSettings, "mean" | "std">;

/**
 * Checks that a recipe describes a run that can start.
 *
 * @throws {UsageError} For the first value that does not fit; it names the field and, where there
 * is one, the remedy.
 */
export function validate(recipe: Recipe): void {
  const { model, maskRatio } = recipe;
  validateEncoder(model);
  const [name, ratio] = model.kind === "mcmae"
    ? ["model.mlpRatios", model.mlpRatios[0]] as const
    : ["model.mlpRatio", model.mlpRatio] as const;
  validateDecoder(model, name, ratio);
  validateRun(recipe, model.channels);
  validateCrop(recipe.data);
  validateAdamW(recipe.optimizer);
  validateMasking(model, maskRatio);
}

/**
 * Checks a decoder, whose hidden units come from a ratio of the name given.
 *
 * @throws {UsageError} As {@linkcode validate}.
 */
export function validateDecoder(
  { decoderDim, decoderDepth, decoderHeads }: Pick<
    AutoencoderSettings,
    "decoderDim" | "decoderDepth" | "decoderHeads"
  >,
  ratioName: string,
  ratio: number,
): void {
  positiveIntegers("model.decoderDepth", decoderDepth);
  positiveIntegers("model.decoderHeads", decoderHeads);
  positiveIntegers("model.decoderDim", decoderDim);
  width("model.decoderDim", decoderDim, "model.decoderHeads", decoderHeads);
  hidden(ratioName, ratio, decoderDim);
}

/**
 * Checks what every training run has.
 *
 * @throws {UsageError} As {@linkcode validate}.
 */
export function validateRun(recipe: RunSettings, channels: number): void {
  const { batch, optimizer, schedule, checkpoint, faults, report, seed } = recipe;
  validateData(recipe.data, channels);
  positiveIntegers("batch.micro", batch.micro);
  positiveIntegers("batch.effective", batch.effective);
  if (batch.effective % batch.micro !== 0) {
    throw wrong("batch.effective", `a multiple of batch.micro = ${batch.micro}`, batch.effective);
  }

  within("optimizer.blr", optimizer.blr, optimizer.blr > 0, "positive");
  within("optimizer.minLr", optimizer.minLr, optimizer.minLr >= 0, "0 or more");
  within("optimizer.weightDecay", optimizer.weightDecay, optimizer.weightDecay >= 0, "0 or more");
  const { clipNorm } = optimizer;
  within("optimizer.clipNorm", clipNorm, clipNorm === null || clipNorm > 0, "positive or null");

  const { epochs, warmupEpochs, steps } = schedule;
  within("schedule.epochs", epochs, epochs > 0, "positive");
  const warms = warmupEpochs >= 0 && warmupEpochs < epochs;
  within("schedule.warmupEpochs", warmupEpochs, warms, `0 or more and below ${epochs} epochs`);
  if (steps !== null) positiveIntegers("schedule.steps", steps);
  const { rates, emaDecay } = optimizer;
  const factors = rates.every(([, factor]) => factor >= 0);
  within(
    "optimizer.rates",
    JSON.stringify(rates),
    factors,
    "pairs of a pattern and a factor from 0 up",
  );
  const averages = emaDecay === null || emaDecay > 0 && emaDecay < 1;
  within("optimizer.emaDecay", emaDecay, averages, "between 0 and 1, or null");
  positiveIntegers("checkpoint.every", checkpoint.every);
  positiveIntegers("checkpoint.keep", checkpoint.keep);
  const bears = Number.isSafeInteger(faults.limit) && faults.limit >= 0;
  within("faults.limit", faults.limit, bears, "an integer from 0 up");
  positiveIntegers("report.every", report.every);
  positiveIntegers("report.images", report.images);
  within("seed", seed, Number.isSafeInteger(seed) && seed >= 0, "an integer from 0 up");
}

/**
 * Checks what AdamW alone has.
 *
 * @throws {UsageError} As {@linkcode validate}.
 */
export function validateAdamW({ betas, eps }: AdamWFields): void {
  within("optimizer.betas", betas, betas.every((b) => b >= 0 && b < 1), "in 0–1, without 1");
  within("optimizer.eps", eps, eps > 0, "positive");
}

/**
 * Checks all of a model but its decoder.
 *
 * @throws {UsageError} As {@linkcode validate}.
 */
export function validateEncoder(model: Sizes): void {
  const { heads, channels, imageSize } = model;
  positiveIntegers("model.imageSize", ...imageSize);
  positiveIntegers("model.channels", channels);
  positiveIntegers("model.heads", heads);
  if ("patchSizes" in model) {
    const { patchSizes, embedDims, depths, mlpRatios, kernelSize } = model;
    positiveIntegers("model.patchSizes", ...patchSizes);
    positiveIntegers("model.embedDims", ...embedDims);
    positiveIntegers("model.depths", ...depths);
    const isOdd = Number.isSafeInteger(kernelSize) && kernelSize > 0 && kernelSize % 2 === 1;
    within("model.kernelSize", kernelSize, isOdd, "a positive odd integer");
    embedDims.forEach((dim, i) => hidden("model.mlpRatios", mlpRatios[i], dim));
    width("model.embedDims", embedDims[2], "model.heads", heads);
  } else {
    positiveIntegers("model.patchSize", model.patchSize);
    positiveIntegers("model.embedDim", model.embedDim);
    positiveIntegers("model.depth", model.depth);
    hidden("model.mlpRatio", model.mlpRatio, model.embedDim);
    width("model.embedDim", model.embedDim, "model.heads", heads);
  }
  validateImageSize(model);
}

/** @throws {UsageError} If the stride does not divide the image size; it names sizes that work. */
export function validateImageSize(model: Sizes): void {
  const stride = strideOf(model);
  for (const side of model.imageSize) {
    if (side % stride === 0) continue;
    const below = Math.floor(side / stride) * stride;
    const sizes = below === 0
      ? `size that works is ${stride}`
      : `sizes that work are ${below} and ${below + stride}`;
    const parts = "patchSizes" in model ? ` (patch sizes ${model.patchSizes.join(" × ")})` : "";
    throw new UsageError(
      `Recipe field model.imageSize has ${side}, which the stride ${stride}${parts} does not ` +
        `divide: the nearest ${sizes}`,
    );
  }
}

function validateData(
  { path, valPath, valShare, mean, std, workers, maxBad }: SampleSettings,
  channels: number,
): void {
  if (path === null) throw new UsageError("Recipe field data.path is needed: add --data DIR");
  within("data.valShare", valShare, valShare >= 0 && valShare < 1, "in 0–1, without 1");
  if (valPath !== null && valShare > 0) {
    throw new UsageError("Recipe field data.valShare must be 0 where data.valPath is given");
  }
  for (const [name, list] of [["data.mean", mean], ["data.std", std]] as const) {
    const one = `one number for each of the ${channels} channels`;
    within(name, list, list.length === channels, one);
  }
  within("data.std", std, std.every((value) => value > 0), "positive");
  positiveIntegers("data.workers", workers);
  const counts = Number.isSafeInteger(maxBad) && maxBad >= 0;
  within("data.maxBad", maxBad, counts, "an integer from 0 up");
}

/** @throws {UsageError} If images cannot be cropped so. */
export function validateCrop({ cacheSide, crop: { scale } }: DataSettings): void {
  positiveIntegers("data.cacheSide", cacheSide);
  validateScale(scale);
}

/** @throws {UsageError} If they are no shares of an area. */
export function validateScale(scale: readonly [number, number]): void {
  const [least, most] = scale;
  const fits = least > 0 && least <= most && most <= 1;
  within("data.crop.scale", scale, fits, "two shares of the area in 0–1, the smaller first");
}

/** @throws {UsageError} If a ratio keeps no token, or all. */
export function validateMasking(model: McmaeSettings | MaeSettings, maskRatio: number): void {
  within("maskRatio", maskRatio, maskRatio > 0 && maskRatio < 1, "between 0 and 1");
  const [height, width] = model.imageSize;
  const tokens = (height / strideOf(model)) * (width / strideOf(model));
  const kept = Math.trunc(tokens * (1 - maskRatio));
  if (kept === 0 || kept === tokens) {
    throw new UsageError(
      `Recipe field maskRatio = ${maskRatio} keeps ${kept} of ${tokens} tokens: ` +
        "use a larger model.imageSize or another ratio",
    );
  }
}

/** Pixels along the side of a token. */
export function strideOf(model: Sizes): number {
  if ("patchSize" in model) return model.patchSize;
  return model.patchSizes.reduce((product, size) => product * size, 1);
}

/** Heads share the width evenly, and a 2-D sin-cos table needs a multiple of four. */
function width(dimName: string, dim: number, headsName: string, heads: number): void {
  if (dim % heads !== 0) {
    throw wrong(headsName, `a divisor of the width ${dim} in ${dimName}`, heads);
  }
  if (dim % 4 !== 0) throw wrong(dimName, "a multiple of 4", dim);
}

function hidden(name: string, ratio: number, dim: number): void {
  const units = ratio * dim;
  const fits = units > 0 && Number.isSafeInteger(units);
  within(name, ratio, fits, `positive and give a whole number of hidden units for width ${dim}`);
}

export function positiveIntegers(name: string, ...values: number[]): void {
  for (const value of values) {
    within(name, value, Number.isSafeInteger(value) && value > 0, "a positive integer");
  }
}

export function within(name: string, value: unknown, fits: boolean, expected: string): void {
  if (!fits) throw wrong(name, expected, value);
}

export function wrong(name: string, expected: string, value: unknown): UsageError {
  return new UsageError(`Recipe field ${name} must be ${expected}, got ${value}`);
}
