/**
 * What an evaluation is asked for: options and fields of the command line, and the model of the
 * checkpoint.
 *
 * @module
 */
import { IMAGENET_MEAN, IMAGENET_STD } from "../../data/augment.ts";
import type { EvaluationCrop } from "../../data/evaluation_loader.ts";
import type { Reading } from "../../data/worker.ts";
import { describeMatch } from "../../src/match_weights.ts";
import type { VideoEncoderSettings } from "../../src/models/encoder.ts";
import {
  inspectPretrained,
  loadPretrained,
  loadPretrainedVideo,
  type Pretrained,
  type PretrainedOptions,
} from "../../src/pretrained.ts";
import { override, type RunSettings } from "../recipe.ts";
import { type Options, parseWords, UsageError } from "../usage.ts";
import { positiveIntegers, validateImageSize, within } from "../validate.ts";

/** Fields of an evaluation. What is not given comes from the checkpoint, where that tells it. */
export interface EvalSettings {
  readonly model: {
    readonly heads: number;
    readonly decoderHeads: number;
    readonly imageSize: readonly [number, number];
  };
  readonly data: {
    readonly mean: readonly number[];
    readonly std: readonly number[];
    /** Share of the resized image's side that the crop takes. */
    readonly cropPct: number;
    /** Share of the images that is held out, where the data have no splits. */
    readonly valShare: number;
    readonly workers: number;
  };
  readonly batch: { readonly micro: number };
  readonly maskRatio: number;
  readonly seed: number;
}

/** Their types, and the values of those that no checkpoint tells. */
const STANDARD: EvalSettings = {
  model: { heads: 12, decoderHeads: 16, imageSize: [224, 224] },
  data: {
    mean: IMAGENET_MEAN,
    std: IMAGENET_STD,
    cropPct: 224 / 256,
    valShare: 0,
    workers: Math.max(1, navigator.hardwareConcurrency - 1),
  },
  batch: { micro: 32 },
  maskRatio: 0.75,
  seed: 0,
};

/** Options of every evaluation. */
export const EVAL_OPTIONS = {
  checkpoint: { type: "string" },
  data: { type: "string" },
} as const satisfies Options;

const ADVICE = "see deno task eval --help";

/** A request, checked as far as it can be without opening a file. */
export interface EvalRequest<Values> {
  readonly values: Values;
  readonly checkpoint: string;
  readonly data: string;
  readonly settings: EvalSettings;
  /** Whether the command line gives a field. */
  isGiven(path: string): boolean;
}

/**
 * Splits the arguments of an evaluation.
 *
 * @param options Its options besides {@linkcode EVAL_OPTIONS}.
 * @throws {UsageError} If an argument makes no sense, or the checkpoint or the data are missing.
 */
export function parseRequest<const T extends Options>(args: readonly string[], options: T) {
  const { values, positionals } = parseWords(args, { ...EVAL_OPTIONS, ...options }, ADVICE);
  const { checkpoint, data } = values as { checkpoint?: string; data?: string };
  for (const [name, value] of Object.entries({ checkpoint, data })) {
    if (!value) throw new UsageError(`Option --${name} is needed: ${ADVICE}`);
  }
  const settings = override(STANDARD as unknown as RunSettings, positionals);
  const paths = new Set(positionals.map((field) => field.split("=")[0]));
  const request = {
    ...{ values, checkpoint: checkpoint!, data: data! },
    settings: settings as unknown as EvalSettings,
    isGiven: (path: string) => paths.has(path),
  };
  check(request.settings);
  return request satisfies EvalRequest<typeof values>;
}

function check({ model, data, batch, maskRatio, seed }: EvalSettings): void {
  positiveIntegers("model.heads", model.heads);
  positiveIntegers("model.decoderHeads", model.decoderHeads);
  positiveIntegers("model.imageSize", ...model.imageSize);
  within("data.cropPct", data.cropPct, data.cropPct > 0 && data.cropPct <= 1, "in 0–1, without 0");
  within("data.std", data.std, data.std.every((value) => value > 0), "positive");
  within(
    "data.valShare",
    data.valShare,
    data.valShare >= 0 && data.valShare < 1,
    "in 0–1, without 1",
  );
  positiveIntegers("data.workers", data.workers);
  positiveIntegers("batch.micro", batch.micro);
  within("maskRatio", maskRatio, maskRatio > 0 && maskRatio < 1, "between 0 and 1");
  within("seed", seed, Number.isSafeInteger(seed) && seed >= 0, "an integer from 0 up");
}

/** @throws {UsageError} If the text of an option is no positive integer. */
export function positiveOption(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(`Option --${name} expects a positive integer, got ${text || "nothing"}`);
}

/**
 * Loads the checkpoint of a request, and tells on stderr what of it was used.
 *
 * @throws {UsageError} If there is no such file, a field does not fit the model, or it is one of clips.
 * @throws {CheckpointError} If it holds another model.
 */
export async function openModel(request: EvalRequest<unknown>): Promise<Pretrained> {
  return await open(request, "images", loadPretrained);
}

/** As {@linkcode openModel}, a model of clips. */
export async function openVideoModel(
  request: EvalRequest<unknown>,
): Promise<Pretrained<VideoEncoderSettings>> {
  return await open(request, "clips", loadPretrainedVideo);
}

async function open<Model extends Pick<Pretrained, "match">>(
  { checkpoint, settings, isGiven }: EvalRequest<unknown>,
  kind: "images" | "clips",
  load: (path: string, options: PretrainedOptions) => Promise<Model>,
): Promise<Model> {
  const found = await Deno.stat(checkpoint).catch(() => undefined);
  if (!found) throw new UsageError(`Cannot read ${checkpoint}: no such file`);
  if (found.isDirectory) {
    throw new UsageError(`Cannot read ${checkpoint}: it is a folder, not a file of weights`);
  }
  const { heads, decoderHeads, imageSize } = settings.model;
  const options = {
    ...isGiven("model.heads") && { heads },
    ...isGiven("model.decoderHeads") && { decoderHeads },
    ...isGiven("model.imageSize") && { imageSize },
  };
  const inspected = await inspectPretrained(checkpoint, options);
  const isKind = "frames" in inspected.settings ? "clips" : "images";
  if (isKind !== kind) {
    throw new UsageError(
      `Cannot use ${checkpoint}: it is a model of ${isKind}, and this task is for ${kind}`,
    );
  }
  if (options.imageSize) validateImageSize({ ...inspected.settings, imageSize });
  const pretrained = await load(checkpoint, options);
  console.error(describeMatch(pretrained.match));
  return pretrained;
}

/** How a model's images are read and cropped. */
export interface ModelReading extends Reading {
  readonly crop: EvaluationCrop;
}

/**
 * How a model's images are read: with the mean and standard deviation that are given, else with its
 * file's, else with ImageNet's.
 *
 * @param given `mean`, `std` and `cropPct` where they differ.
 * @param note Is told where they are a guess.
 * @throws {UsageError} If there is not one number for each channel.
 */
export function readingOf(
  { settings, mean, std, cropPct: kept }: Pick<
    Pretrained,
    "settings" | "mean" | "std" | "cropPct"
  >,
  given: Partial<Pick<EvalSettings["data"], "mean" | "std" | "cropPct">> = {},
  note: (message: string) => void = () => {},
): ModelReading {
  const { channels, imageSize: [height, width] } = settings;
  const isColour = channels === 3;
  const usual = {
    mean: isColour ? IMAGENET_MEAN : Array<number>(channels).fill(0.5),
    std: isColour ? IMAGENET_STD : Array<number>(channels).fill(0.25),
  };
  const reading = {
    channels,
    mean: given.mean ?? mean ?? usual.mean,
    std: given.std ?? std ?? usual.std,
  };
  if (!isColour && (reading.mean === usual.mean || reading.std === usual.std)) {
    note(
      "The file does not tell the mean and deviation of its pixels: " +
        `taking data.mean=${reading.mean} data.std=${reading.std}`,
    );
  }
  for (const name of ["mean", "std"] as const) {
    const one = `one number for each of the ${channels} channels`;
    within(`data.${name}`, reading[name], reading[name].length === channels, one);
  }
  const cropPct = given.cropPct ?? kept;
  return { ...reading, crop: { height, width, ...cropPct !== undefined && { cropPct } } };
}

/** As {@linkcode readingOf}, for the fields of a request; notes go to stderr. */
export function readingFor(
  { settings: { data }, isGiven }: EvalRequest<unknown>,
  pretrained: Pretrained,
): ModelReading {
  const given = Object.fromEntries(
    Object.entries(data).filter(([name]) => isGiven(`data.${name}`)),
  );
  return readingOf(pretrained, given, console.error);
}

/** How the features of a request are computed. */
export function extractionOf(request: EvalRequest<unknown>, pretrained: Pretrained) {
  const { settings: { data: { workers }, batch }, isGiven } = request;
  const { mean, std, crop: { cropPct } } = readingFor(request, pretrained);
  return {
    ...{ mean, std, workers },
    ...cropPct !== undefined && { cropPct },
    ...isGiven("batch.micro") && { batch: batch.micro },
  };
}
