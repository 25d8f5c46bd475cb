/**
 * Segmenters from files of weights: of this project, or of mmsegmentation as the published code has
 * them. Settings are told by names and shapes.
 *
 * @module
 */
import { CheckpointError } from "./checkpoint.ts";
import type { Initializer } from "./init.ts";
import { describeMatch, type Match, matchWeights } from "./match_weights.ts";
import { inferSettings } from "./models/infer.ts";
import { initSegmenter, type SegmenterParams, type SegmenterSettings } from "./models/segmenter.ts";
import { record } from "./models/checkpoint_shapes.ts";
import type { Params } from "./optim.ts";
import { namesOf, type PretrainedOptions } from "./pretrained.ts";
import { type Shape, zeros } from "./tensor.ts";
import { openWeights } from "./weights.ts";

/** What a file says of the masks that it was trained on. */
export interface MaskFacts {
  readonly ignoreIndex: number;
  readonly reduceZeroLabel: boolean;
  /** Sides that images are made to fit into; null for their own size. */
  readonly long: number | null;
  readonly short: number | null;
}

/** A segmenter from a file. */
export interface PretrainedSegmenter {
  readonly path: string;
  readonly settings: SegmenterSettings;
  readonly params: SegmenterParams;
  readonly match: Match<Params>;
  /** Of each channel of its images, if the file says so. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  readonly classNames?: readonly string[];
  /** Of this project's files. */
  readonly masks?: MaskFacts;
}

/** Draws zeros: values that a file replaces. */
const ZEROS: Initializer = { uniform: (shape) => zeros(shape), normal: (shape) => zeros(shape) };

/**
 * Loads a segmenter.
 *
 * @throws {CheckpointError} If the file is of another model; the message names it.
 * @throws {Error} If it cannot be read.
 */
export async function loadSegmenter(
  path: string,
  { heads, imageSize }: Pick<PretrainedOptions, "heads" | "imageSize"> = {},
): Promise<PretrainedSegmenter> {
  using file = await openWeights(path);
  try {
    const shapes = new Map([...file.tensors].map(([name, { shape }]) => [name, shape]));
    const hints = { heads, imageSize, metadata: file.metadata };
    const { mean, std, settings } = inferSegmenter(shapes, hints);
    const like = initSegmenter(settings, ZEROS) as Params;
    const match = await matchWeights(file, like);
    const lacks = [...match.missing, ...match.mismatched];
    if (lacks.length > 0) {
      throw new CheckpointError(
        `it is no whole segmenter: ${describeMatch(match).replaceAll("\n", "; ")}`,
      );
    }
    const masks = record(file.metadata.masks);
    return {
      ...{ path, settings, match, params: match.params as unknown as SegmenterParams },
      ...{ ...mean && { mean }, ...std && { std }, ...namesOf(file) },
      ...masks && { masks: masks as unknown as MaskFacts },
    };
  } catch (cause) {
    if (!(cause instanceof CheckpointError)) throw cause;
    throw new CheckpointError(`Cannot use ${path}: ${cause.message}`, { cause });
  }
}

/**
 * Tells a segmenter's settings from shapes, by the names of `backbone.…`, `decode_head.…` and
 * `auxiliary_head.…`.
 *
 * @throws {CheckpointError} If it is another model.
 */
function inferSegmenter(
  shapes: ReadonlyMap<string, Shape>,
  hints: Parameters<typeof inferSettings>[1],
): { settings: SegmenterSettings; mean?: readonly number[]; std?: readonly number[] } {
  const heads = ["decode_head.conv_seg.weight", "auxiliary_head.convs.0.conv.weight"];
  const [scores, auxiliary] = heads.map((name) => {
    const shape = shapes.get(name);
    if (shape) return shape;
    throw new CheckpointError(
      `it is no segmenter: it has no ${name}; make one with deno task finetune segment`,
    );
  });
  const prefix = "backbone.";
  const backbone = new Map(
    [...shapes].filter(([name]) => name.startsWith(prefix))
      .map(([name, shape]) => [name.slice(prefix.length), shape]),
  );
  const { settings, mean, std } = inferSettings(backbone, hints);
  if (settings.kind !== "mcmae") throw new CheckpointError("its backbone is no MCMAE");
  const relativePositions = backbone.has("rel_pos_bias.relative_position_bias_table")
    ? "shared"
    : backbone.has("blocks3.0.attn.relative_position_bias_table")
    ? "blocks"
    : "none";
  return {
    settings: {
      ...{ encoder: settings, relativePositions, dropout: 0, dropPath: 0 },
      layerScale: backbone.has("blocks3.0.gamma_1") ? 1 : null,
      ...{ classes: scores[0], headChannels: scores[1], auxiliaryChannels: auxiliary[0] },
    },
    ...{ mean, std },
  };
}
