/**
 * Detectors from files of weights: of this project, or of detectron2 as the published code has them.
 * Settings are told by names and shapes.
 *
 * @module
 */
import { CheckpointError } from "./checkpoint.ts";
import type { Initializer } from "./init.ts";
import { describeMatch, type Match, matchWeights } from "./match_weights.ts";
import { record } from "./models/checkpoint_shapes.ts";
import { inferSettings } from "./models/infer.ts";
import { initMaskRcnn, type MaskRcnnParams, type MaskRcnnSettings } from "./models/mask_rcnn.ts";
import type { NormKind } from "./models/normed_convolution.ts";
import type { Params } from "./optim.ts";
import { namesOf, type PretrainedOptions } from "./pretrained.ts";
import { type Shape, zeros } from "./tensor.ts";
import { openWeights } from "./weights.ts";

/** What no shape of a file tells of a detector; files of this project say it. */
export interface DetectorFacts {
  /** Images that it was trained on. */
  readonly imageSize: readonly [height: number, width: number];
  readonly globalBlocks: readonly number[];
  readonly shift: boolean;
  /** Lengths of edges, see the recipe; null where images are made to fit. */
  readonly shorter: number | null;
  readonly longer: number;
  /** Best anchors of a map, and proposals of an image, that are looked at. */
  readonly before: number;
  readonly after: number;
}

/** As published. */
export const PUBLISHED_DETECTOR: DetectorFacts = {
  ...{ imageSize: [1024, 1024], globalBlocks: [0, 3, 6, 10], shift: false },
  ...{ shorter: null, longer: 1024, before: 1000, after: 1000 },
};

/** A detector from a file. */
export interface PretrainedDetector {
  readonly path: string;
  readonly settings: MaskRcnnSettings;
  readonly params: MaskRcnnParams;
  readonly match: Match<Params>;
  readonly facts: DetectorFacts;
  /** Of each channel of its images, if the file says so. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  readonly classNames?: readonly string[];
}

/** Draws zeros: values that a file replaces. */
const ZEROS: Initializer = { uniform: (shape) => zeros(shape), normal: (shape) => zeros(shape) };

/**
 * Loads a detector.
 *
 * @throws {CheckpointError} If the file is of another model; the message names it.
 * @throws {Error} If it cannot be read.
 */
export async function loadDetector(
  path: string,
  { heads }: Pick<PretrainedOptions, "heads"> = {},
): Promise<PretrainedDetector> {
  using file = await openWeights(path);
  try {
    const shapes = new Map([...file.tensors].map(([name, { shape }]) => [name, shape]));
    const facts = {
      ...PUBLISHED_DETECTOR,
      ...record(file.metadata.detector) as Partial<DetectorFacts> | undefined,
    };
    const { mean, std, settings } = inferDetector(shapes, facts, {
      ...{ heads, metadata: file.metadata },
    });
    const match = await matchWeights(file, initMaskRcnn(settings, ZEROS) as Params);
    const lacks = [...match.missing, ...match.mismatched];
    if (lacks.length > 0) {
      throw new CheckpointError(
        `it is no whole detector: ${describeMatch(match).replaceAll("\n", "; ")}`,
      );
    }
    return {
      ...{ path, settings, match, facts, params: match.params as unknown as MaskRcnnParams },
      ...{ ...mean && { mean }, ...std && { std }, ...namesOf(file) },
    };
  } catch (cause) {
    if (!(cause instanceof CheckpointError)) throw cause;
    throw new CheckpointError(`Cannot use ${path}: ${cause.message}`, { cause });
  }
}

/**
 * Tells a detector's settings from shapes, by detectron2's names.
 *
 * @throws {CheckpointError} If it is another model.
 */
export function inferDetector(
  shapes: ReadonlyMap<string, Shape>,
  facts: DetectorFacts,
  hints: Parameters<typeof inferSettings>[1],
): {
  readonly settings: MaskRcnnSettings;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
} {
  const needed = (name: string): Shape => {
    const shape = shapes.get(name);
    if (shape) return shape;
    throw new CheckpointError(
      `it is no detector: it has no ${name}; make one with deno task finetune detect`,
    );
  };
  const [classes] = needed("roi_heads.mask_head.predictor.weight");
  const [headWidth] = needed("roi_heads.box_head.fc1.weight");
  const isVitdet = shapes.has("backbone.simfp_2.0.weight");
  const prefix = isVitdet ? "backbone.net." : "backbone.bottom_up.";
  const encoderShapes = new Map(
    [...shapes].filter(([name]) => name.startsWith(prefix))
      .map(([name, shape]) => [name.slice(prefix.length), shape]),
  );
  const { settings: encoder, mean, std } = inferSettings(encoderShapes, hints);
  if (encoder.kind !== "mcmae") throw new CheckpointError("its backbone is no MCMAE");
  const table = isVitdet
    ? needed(`${prefix}blocks3.${firstLocal(encoder.depths[2], facts)}.attn.rel_pos_h`)[0]
    : Math.sqrt(needed(`${prefix}windowed_rel_pos_bias.relative_position_bias_table`)[0]);
  const windows = {
    ...{ encoder, imageSize: facts.imageSize, globalBlocks: facts.globalBlocks },
    windowSize: (table + 1) / 2,
    outChannels: needed(isVitdet ? "backbone.simfp_4.0.weight" : "backbone.fpn_lateral2.weight")[0],
  };
  const convolutions =
    [...shapes.keys()].filter((name) =>
      /^proposal_generator\.rpn_head\.conv\d+\.weight$/.test(
        name.replace("rpn_head.conv.conv", "rpn_head.conv"),
      )
    ).length;
  return {
    settings: {
      backbone: isVitdet
        ? { kind: "vitdet", ...windows }
        : { kind: "windowed", ...windows, shift: facts.shift },
      ...{ classes, headWidth, norm: normOf(shapes), rpnConvolutions: Math.max(1, convolutions) },
    },
    ...{ mean, std },
  };
}

/** A block whose table is of a window. */
function firstLocal(depth: number, { globalBlocks }: DetectorFacts): number {
  for (let block = 0; block < depth; block++) if (!globalBlocks.includes(block)) return block;
  return 0;
}

function normOf(shapes: ReadonlyMap<string, Shape>): NormKind {
  const norm = "roi_heads.box_head.conv1.norm";
  if (shapes.has(`${norm}.running_mean`)) return "BN";
  return shapes.has(`${norm}.weight`) ? "LN" : "none";
}
