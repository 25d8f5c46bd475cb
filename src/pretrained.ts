/**
 * Pretrained models from files of weights: settings as the file tells them, parameters in host
 * memory.
 *
 * @module
 */
import { CheckpointError } from "./checkpoint.ts";
import type { Initializer } from "./init.ts";
import { describeMatch, type Match, matchWeights } from "./match_weights.ts";
import { autoencoder } from "./models/autoencoder.ts";
import {
  type ClassifierParams,
  type ClassifierSettings,
  initClassifier,
} from "./models/classifier.ts";
import type { EncoderParams, EncoderSettings } from "./models/encoder.ts";
import { type Hints, type InferredModel, inferSettings } from "./models/infer.ts";
import { gridOf } from "./models/patches.ts";
import { strideOf } from "./models/mcmae.ts";
import type { Params } from "./optim.ts";
import { type Shape, zeros } from "./tensor.ts";
import { openWeights } from "./weights.ts";

/** A model from a file. */
export interface Pretrained extends Omit<InferredModel, "settings"> {
  readonly path: string;
  readonly settings: EncoderSettings;
  /** All that the file has of the model: encoder, and decoder or classifier where there are any. */
  readonly params: EncoderParams & Params;
  /** Names of the classes that its head tells apart, if the file says them. */
  readonly classNames?: readonly string[];
  readonly match: Match<Params>;
}

/** What the file does not tell, or what shall differ from it. */
export interface PretrainedOptions {
  readonly heads?: number;
  readonly decoderHeads?: number;
  /** Height and width in pixels; positions are interpolated if the file's are others. */
  readonly imageSize?: readonly [number, number];
}

/** Draws zeros: values that a file replaces. */
const ZEROS: Initializer = { uniform: (shape) => zeros(shape), normal: (shape) => zeros(shape) };

/**
 * Loads a model: of this project, or published; after pretraining or fine-tuning.
 *
 * @throws {CheckpointError} If the file is of another model; the message names it.
 * @throws {Error} If it cannot be read.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadPretrained } from "@mcmae/mcmae";
 *
 * const { settings, classes } = await loadPretrained("tests/golden/checkpoint_half_zip.pth", {
 *   heads: 4,
 * });
 * assert.deepEqual([settings.kind, classes], ["mcmae", 10]);
 * ```
 */
export async function loadPretrained(
  path: string,
  { heads, decoderHeads, imageSize }: PretrainedOptions = {},
): Promise<Pretrained> {
  return await ofFile(path, async (file, found) => {
    const settings = { ...found.settings, ...(imageSize && { imageSize }) } as EncoderSettings;
    const like = found.hasDecoder
      ? autoencoderParams(settings)
      : initClassifier({ ...classifierOf(found), encoder: settings }, ZEROS);
    const match = await matchWeights(file, like as Params, gridsOf(found.settings, settings));
    const lacks = match.missing.filter(({ name }) => !/^(head|norm|fc_norm)\./.test(name));
    if (lacks.length > 0 || match.mismatched.length > 0) {
      throw new CheckpointError(
        `it is no whole model: ${describeMatch(match).replaceAll("\n", "; ")}`,
      );
    }
    const classNames = namesOf(file.metadata.classes);
    return {
      ...{ ...found, path, settings, match },
      params: match.params as EncoderParams & Params,
      ...(classNames && { classNames }),
    };
  }, { heads, decoderHeads, imageSize });
}

/**
 * Loads an encoder into a classifier: what the file lacks is as `initial` has it.
 *
 * @param initial Parameters of the classifier before.
 * @throws {CheckpointError} If the file lacks a part of the encoder; the message names it.
 * @throws {Error} If it cannot be read.
 */
export async function loadClassifier(
  path: string,
  settings: ClassifierSettings,
  initial: ClassifierParams,
): Promise<Match<ClassifierParams>> {
  const { heads, imageSize } = settings.encoder;
  return await ofFile(path, async (file, found) => {
    const match = await matchWeights(file, initial, gridsOf(found.settings, settings.encoder));
    // A norm that was trained on all scales joined does not fit the last stage alone, and is left.
    const isHead = ({ name }: { readonly name: string }) => /^(head|fc_norm|norm)\./.test(name);
    const lacks = [...match.missing, ...match.mismatched].filter((one) => !isHead(one));
    if (lacks.length > 0) {
      throw new CheckpointError(
        `it does not fit the model: ${describeMatch(match).replaceAll("\n", "; ")}`,
      );
    }
    return match;
  }, { heads, imageSize });
}

/** What a file tells of its model, without its parameters. */
export async function inspectPretrained(
  path: string,
  hints: PretrainedOptions = {},
): Promise<InferredModel & { readonly classNames?: readonly string[] }> {
  return await ofFile(path, (file, found) => {
    const classNames = namesOf(file.metadata.classes);
    return Promise.resolve({ ...found, ...(classNames && { classNames }) });
  }, hints);
}

type File = Awaited<ReturnType<typeof openWeights>>;

async function ofFile<Result>(
  path: string,
  use: (file: File, found: InferredModel) => Promise<Result>,
  { heads, decoderHeads, imageSize }: PretrainedOptions,
): Promise<Result> {
  using file = await openWeights(path);
  try {
    const shapes = new Map([...file.tensors].map(([name, { shape }]) => [name, shape]));
    const hints = { heads, decoderHeads, metadata: file.metadata };
    return await use(file, inferred(shapes, hints, imageSize));
  } catch (cause) {
    if (!(cause instanceof CheckpointError)) throw cause;
    throw new CheckpointError(`Cannot use ${path}: ${cause.message}`, { cause });
  }
}

/** Settings; where positions are no square, the image size that is given is taken for the file's. */
function inferred(
  shapes: ReadonlyMap<string, Shape>,
  hints: Hints,
  imageSize: PretrainedOptions["imageSize"],
): InferredModel {
  try {
    return inferSettings(shapes, hints);
  } catch (error) {
    if (!imageSize) throw error;
    try {
      return inferSettings(shapes, { ...hints, imageSize });
    } catch {
      throw error; // something else is wrong
    }
  }
}

function autoencoderParams(settings: EncoderSettings): Params {
  return autoencoder(settings).initWith(ZEROS);
}

function classifierOf(
  { settings, classes = 1, pooling = "mean" }: InferredModel,
): ClassifierSettings {
  return { encoder: settings, classes, pooling, dropPath: 0 };
}

function gridsOf(from: EncoderSettings, to: EncoderSettings) {
  const grid = (settings: EncoderSettings) =>
    gridOf(
      settings.imageSize,
      settings.kind === "mae" ? settings.patchSize : strideOf(settings),
    );
  return { fileGrid: grid(from), grid: grid(to) };
}

function namesOf(text: unknown): string[] | undefined {
  if (typeof text !== "string") return undefined;
  const names = JSON.parse(text);
  return Array.isArray(names) ? names.map(String) : undefined;
}
