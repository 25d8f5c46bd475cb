/**
 * Pretrained models from files of weights: settings as the file tells them, parameters in host
 * memory.
 *
 * @module
 */
import { CheckpointError } from "./checkpoint.ts";
import type { Initializer } from "./init.ts";
import { describeMatch, type Match, type MatchOptions, matchWeights } from "./match_weights.ts";
import { autoencoder } from "./models/autoencoder.ts";
import {
  type ClassifierParams,
  type ClassifierSettings,
  initClassifier,
} from "./models/classifier.ts";
import type { BackboneParams, BackboneSettings } from "./models/backbone.ts";
import { holdsClips } from "./models/checkpoint_shapes.ts";
import type { EncoderParams, EncoderSettings, VideoEncoderSettings } from "./models/encoder.ts";
import { type Hints, type InferredModel, inferSettings } from "./models/infer.ts";
import { inferVideoSettings } from "./models/infer_video.ts";
import { gridOf } from "./models/patches.ts";
import { type McmaeSettings, strideOf } from "./models/mcmae.ts";
import type { Params } from "./optim.ts";
import { type Shape, zeros } from "./tensor.ts";
import { openWeights, type WeightFile } from "./weights.ts";

type AnySettings = EncoderSettings | VideoEncoderSettings;

/** A model from a file: of images, unless its settings are said to be of clips. */
export interface Pretrained<Settings extends AnySettings = EncoderSettings>
  extends InferredModel<Settings> {
  readonly path: string;
  /** All that the file has of the model: encoder, and decoder or classifier where there are any. */
  readonly params: EncoderParams & Params;
  /** Names of the classes that its head tells apart, if the file says them. */
  readonly classNames?: readonly string[];
  /** All that the file says of itself. */
  readonly metadata: WeightFile["metadata"];
  readonly match: Match<Params>;
}

/** What the file does not tell, or what shall differ from it. */
export interface PretrainedOptions {
  readonly heads?: number;
  readonly decoderHeads?: number;
  /**
   * Height and width in pixels. If the file's are others, positions of images are interpolated; those
   * of clips are a table over one index, which is computed anew: what fine-tuning made of it is lost.
   */
  readonly imageSize?: readonly [number, number];
  /** Of clips; 16 where neither this nor the file tells. */
  readonly frames?: number;
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
  options: PretrainedOptions = {},
): Promise<Pretrained> {
  return await load(inferSettings, path, options);
}

/**
 * As {@linkcode loadPretrained}, a model of clips: VideoMCMAE or VideoMAE.
 *
 * @throws {CheckpointError} If the file is of another model, or one of images; the message names it.
 * @throws {Error} If it cannot be read.
 */
export async function loadPretrainedVideo(
  path: string,
  options: PretrainedOptions = {},
): Promise<Pretrained<VideoEncoderSettings>> {
  return await load(inferVideoSettings, path, options);
}

async function load<Settings extends AnySettings>(
  infer: Infer<Settings>,
  path: string,
  options: PretrainedOptions,
): Promise<Pretrained<Settings>> {
  return await ofFile(infer, path, options, async (file, found) => {
    const { imageSize, frames } = options;
    const settings: Settings = {
      ...found.settings,
      ...imageSize && { imageSize },
      ...frames !== undefined && "frames" in found.settings && { frames },
    };
    const like = found.hasDecoder
      ? autoencoder(settings as AnySettings).initWith(ZEROS)
      : initClassifier({ ...classifierOf(found), encoder: settings }, ZEROS);
    const match = await matchWeights(
      found.hasDecoder ? file : withoutEncoder(file),
      like as Params,
      gridsOf(found.settings, settings),
    );
    const lacks = match.missing.filter(({ name }) => !/^(head|norm|fc_norm)\./.test(name));
    if (lacks.length > 0 || match.mismatched.length > 0) {
      throw new CheckpointError(
        `it is no whole model: ${describeMatch(match).replaceAll("\n", "; ")}`,
      );
    }
    return {
      ...{ ...found, path, settings, match, metadata: file.metadata },
      params: match.params as EncoderParams & Params,
      ...namesOf(file),
    };
  });
}

/**
 * Loads an encoder into a classifier, of images or of clips: what the file lacks is as `initial` has it.
 *
 * @param initial Parameters of the classifier before.
 * @throws {CheckpointError} If the file lacks a part of the encoder; the message names it.
 * @throws {Error} If it cannot be read.
 */
export async function loadClassifier(
  path: string,
  { encoder }: ClassifierSettings<AnySettings>,
  initial: ClassifierParams,
): Promise<Match<ClassifierParams>> {
  // A norm that was trained on all scales joined does not fit the last stage alone, and is left.
  return await loadEncoder(path, encoder, initial, /^(head|fc_norm|norm)\./);
}

/**
 * Loads an encoder into a backbone of dense prediction; else as {@linkcode loadClassifier}.
 *
 * @throws {CheckpointError} If the file lacks a part of the encoder; the message names it.
 * @throws {Error} If it cannot be read.
 */
export async function loadBackbone(
  path: string,
  { encoder }: Pick<BackboneSettings, "encoder">,
  initial: BackboneParams,
): Promise<Match<BackboneParams>> {
  const own = /^(fpn|rel_pos_bias)\.|\.(relative_position_bias_table|gamma_[12])$/;
  return await loadEncoder(path, encoder, initial, own);
}

/**
 * Loads the encoder of a checkpoint, in any form, into a backbone of detection. What the file lacks stays
 * as it is.
 *
 * @throws {CheckpointError} If its encoder has other sizes.
 */
export async function loadDetectionEncoder<P extends Params>(
  path: string,
  encoder: McmaeSettings,
  initial: P,
): Promise<Match<P>> {
  const own = /^(windowed|global)_rel_pos_bias\.|\.(rel_pos_[hw])$/;
  return await loadEncoder(path, encoder, initial, own);
}

/** @param own Names of parameters that a file may lack. */
async function loadEncoder<P extends Params>(
  path: string,
  encoder: AnySettings,
  initial: P,
  own: RegExp,
): Promise<Match<P>> {
  const { heads, imageSize } = encoder;
  const isClips = "frames" in encoder;
  const infer: Infer<AnySettings> = isClips ? inferVideoSettings : inferSettings;
  const options = { heads, imageSize, ...isClips && { frames: encoder.frames } };
  return await ofFile(infer, path, options, async (file, found) => {
    const match = await matchWeights(
      withoutEncoder(file),
      initial,
      gridsOf(found.settings, encoder),
    );
    const lacks = [...match.missing, ...match.mismatched].filter(({ name }) => !own.test(name));
    if (lacks.length > 0) {
      throw new CheckpointError(
        `it does not fit the model: ${describeMatch(match).replaceAll("\n", "; ")}`,
      );
    }
    return match;
  });
}

/** What a file tells of its model, be it of images or of clips, without its parameters. */
export async function inspectPretrained(
  path: string,
  hints: PretrainedOptions = {},
): Promise<InferredModel<AnySettings> & { readonly classNames?: readonly string[] }> {
  const infer: Infer<AnySettings> = (shapes, hints) =>
    holdsClips(shapes) ? inferVideoSettings(shapes, hints) : inferSettings(shapes, hints);
  return await ofFile(
    infer,
    path,
    hints,
    (file, found) => Promise.resolve({ ...found, ...namesOf(file) }),
  );
}

type Infer<Settings extends AnySettings> = (
  shapes: ReadonlyMap<string, Shape>,
  hints: Hints,
) => InferredModel<Settings>;

async function ofFile<Settings extends AnySettings, Result>(
  infer: Infer<Settings>,
  path: string,
  { heads, decoderHeads, imageSize, frames }: PretrainedOptions,
  use: (file: WeightFile, found: InferredModel<Settings>) => Promise<Result>,
): Promise<Result> {
  using file = await openWeights(path);
  try {
    const shapes = new Map([...file.tensors].map(([name, { shape }]) => [name, shape]));
    const hints = { heads, decoderHeads, metadata: file.metadata };
    return await use(file, inferred(infer, shapes, hints, { imageSize, frames }));
  } catch (cause) {
    if (!(cause instanceof CheckpointError)) throw cause;
    throw new CheckpointError(`Cannot use ${path}: ${cause.message}`, { cause });
  }
}

/** Settings; where positions are no square, the sizes that are given are taken for the file's. */
function inferred<Settings extends AnySettings>(
  infer: Infer<Settings>,
  shapes: ReadonlyMap<string, Shape>,
  hints: Hints,
  { imageSize, frames }: Pick<PretrainedOptions, "imageSize" | "frames">,
): InferredModel<Settings> {
  try {
    return infer(shapes, hints);
  } catch (error) {
    if (!imageSize && !frames) throw error;
    try {
      return infer(shapes, { ...hints, ...imageSize && { imageSize }, ...frames && { frames } });
    } catch {
      throw error; // something else is wrong
    }
  }
}

/** The encoder's names without VideoMAE's prefix. */
function withoutEncoder({ tensors }: WeightFile): Pick<WeightFile, "tensors"> {
  return {
    tensors: new Map(
      [...tensors].map(([name, weight]) => [name.replace(/^encoder\./, ""), weight]),
    ),
  };
}

function classifierOf(
  { settings, classes = 1, pooling = "mean" }: InferredModel<AnySettings>,
): ClassifierSettings<AnySettings> {
  return { encoder: settings, classes, pooling, dropPath: 0 };
}

/** How positions come from one grid to another. */
function gridsOf(from: AnySettings, to: AnySettings): MatchOptions {
  if ("frames" in from) return { ownPositions: true };
  const grid = (settings: AnySettings) =>
    gridOf(
      settings.imageSize,
      "patchSize" in settings ? settings.patchSize : strideOf(settings),
    );
  return { fileGrid: grid(from), grid: grid(to) };
}

/** Names of classes, as a file has them. */
export function namesOf({ metadata: { classes } }: WeightFile): { classNames?: readonly string[] } {
  if (typeof classes !== "string") return {};
  const names = JSON.parse(classes);
  return Array.isArray(names) ? { classNames: names.map(String) } : {};
}
