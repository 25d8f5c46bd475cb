/**
 * Fine-tuning of a pretrained encoder to find things, stage by stage:
 *
 *     decode data → draw → encode → propose → decode → loss → optimizer
 *
 * The first two run on the host and give micro-batches; the next four are one graph, in the middle of
 * which the host chooses the regions that the heads learn from.
 *
 * @module
 */
import { loadThingBatches, type ThingBatch } from "../../data/things/loader.ts";
import type { ThingSource } from "../../data/things/source.ts";
import { type AnchorTargets, anchorTargets } from "../../src/detection/anchor_targets.ts";
import { PYRAMID_ANCHORS } from "../../src/detection/anchors.ts";
import { joinRows } from "../../src/detection/boxes.ts";
import { initializer } from "../../src/init.ts";
import { BATCH_NORM, byBatch, isRunning } from "../../src/models/batch_norm.ts";
import { dropBranches, pathsOf } from "../../src/models/classifier.ts";
import type { Pyramid } from "../../src/models/fpn.ts";
import {
  anchorsOf,
  initMaskRcnn,
  type MaskRcnnLosses,
  maskRcnnLosses,
  maskRcnnMaps,
  type MaskRcnnParams,
  type MaskRcnnSettings,
  proposalOutputs,
  sumOf,
} from "../../src/models/mask_rcnn.ts";
import {
  type TrainingRegions,
  trainingRegions,
  type TruthTensors,
} from "../../src/models/regions.ts";
import type { AnchorOutputs, AnchorTargetTensors } from "../../src/models/rpn.ts";
import { byCountedRows } from "../../src/models/weighted_batch_norm.ts";
import { adamW, type Optimizer, type Params } from "../../src/optim.ts";
import { fold, key, uniform } from "../../src/random.ts";
import { factorOf } from "../../src/rules.ts";
import { cosineWithWarmup } from "../../src/schedule.ts";
import { type Tensor, tensor } from "../../src/tensor.ts";
import { entries } from "../../src/tree.ts";
import { checkRates, memoryOf, pace, peakRate } from "../pretrain.ts";
import { pipe, type Stage, stage } from "../stage.ts";
import type { Task } from "../train.ts";
import type { Measured } from "../train_step.ts";
import { detectorOf, type DetectRecipe, scaleOf, trainingRuleOf } from "./recipe.ts";

/** A micro-batch as the detector takes it. */
export type DetectBatch = TruthTensors & {
  /** `[N, H, W, C]`. */
  readonly images: Tensor;
  /** What the anchors of each map should say. */
  readonly anchors: readonly AnchorTargetTensors[];
  /** Draws for stochastic depth, `[N, 2 · blocks]`. */
  readonly paths: Tensor;
};

type Batches<Batch> = AsyncGenerator<Batch, void, void>;

interface Pairs {
  readonly params: MaskRcnnParams;
  readonly batch: DetectBatch;
}

interface Encoded extends Pairs {
  readonly maps: Pyramid;
  /** What BatchNorms measured, list after list. */
  readonly statistics: readonly (() => Record<string, Tensor>)[];
}

interface Proposed extends Encoded {
  readonly outputs: readonly AnchorOutputs[];
  readonly regions: TrainingRegions;
}

/** Draws of a run: each use has a key of its own beneath the seed's. */
const PATHS = 0x70617468;
const ANCHORS = 0x616e6368;
const REGIONS = 0x72656769;
const HEADS = 0x68656164;

/** The stages of a recipe, by name. */
export interface DetectStages {
  /** Sample position → decoded, augmented images with their things, without end. */
  readonly decodeData: Stage<number, Batches<ThingBatch>>;
  readonly draw: Stage<Batches<ThingBatch>, Batches<DetectBatch>>;
  readonly encode: Stage<Pairs, Encoded>;
  readonly propose: Stage<Encoded, Proposed>;
  readonly decode: Stage<Proposed, Proposed & { readonly losses: MaskRcnnLosses }>;
  readonly loss: Stage<Proposed & { readonly losses: MaskRcnnLosses }, Measured>;
  readonly optimizer: Optimizer;
}

/**
 * Makes the stages of a recipe.
 *
 * @param onBatch Sees every batch that is about to be used, for the list of bad files.
 */
export function detectStages(
  recipe: DetectRecipe,
  settings: MaskRcnnSettings,
  source: ThingSource,
  onBatch: (batch: ThingBatch) => void = () => {},
): DetectStages {
  const { model: { imageSize, channels, dropPath }, data, seed, optimizer } = recipe;
  const { batch: { micro } } = recipe;
  const { encoder } = settings.backbone;
  const rule = trainingRuleOf(recipe);
  return {
    decodeData: (start) =>
      loadThingBatches({
        ...{ source, seed, start, batch: micro, workers: data.workers, maxBad: data.maxBad },
        ...{ channels, mean: data.mean, std: data.std, flip: data.flip, most: data.mostThings },
        ...scaleOf(data, imageSize),
      }),
    draw: async function* (batches) {
      const columns = pathsOf({ encoder });
      const [H, W] = imageSize;
      const anchors = anchorsOf(PYRAMID_ANCHORS.map(({ stride }) => ({
        shape: [micro, Math.ceil(H / stride), Math.ceil(W / stride)],
      })));
      for await (const batch of batches) {
        onBatch(batch);
        const draws = uniform(fold(key(seed), PATHS, batch.position), micro * columns);
        yield {
          ...truthOf(batch, recipe),
          images: tensor(batch.images, [micro, ...imageSize, channels]),
          anchors: anchorBatch(batch, anchors, settings.classes, recipe),
          paths: tensor(draws, [micro, columns]),
        };
      }
    },
    encode: stage("encode", ({ params, batch }) => {
      const { normalise, statistics } = byBatch(params);
      const branchOf = dropPath > 0
        ? (block: number) => dropBranches({ encoder, dropPath }, batch.paths, block)
        : undefined;
      const maps = maskRcnnMaps(params, settings, batch.images, { normalise, branchOf });
      return { params, batch, maps, statistics: [statistics] };
    }),
    propose: stage("propose", (encoded) => {
      const { params, maps, batch } = encoded;
      const outputs = proposalOutputs(params, maps);
      const { classes } = settings;
      const regions = trainingRegions(outputs, anchorsOf(maps), batch, imageSize, classes, rule);
      return { ...encoded, outputs, regions };
    }),
    decode: stage("decode", (proposed) => {
      const { params, maps, outputs, regions, batch: { anchors }, statistics } = proposed;
      const measured = [...statistics];
      const losses = maskRcnnLosses(params, maps, outputs, anchors, regions, rule, (counts) => {
        const rows = byCountedRows(params, counts);
        measured.push(rows.statistics);
        return rows.normalise;
      });
      return { ...proposed, losses, statistics: measured };
    }),
    loss: stage("loss", ({ losses, statistics }) => ({
      loss: sumOf(losses),
      terms: losses,
      statistics: Object.assign({}, ...statistics.map((measured) => measured())),
    })),
    optimizer: adamW({
      ...optimizer,
      decays: detectorDecays,
      rate: (path) => factorOf(optimizer.rates, path),
    }),
  };
}

/** Which parameters decay, as published: not norms, positions and tables of relative positions. */
export function detectorDecays(path: string): boolean {
  return !/(^|\.)(norm\d?|pos_embed|relative_position_bias_table|rel_pos_[hw]|simfp_2\.1)(\.|$)/
    .test(path);
}

function truthOf(
  { filled, boxes, classes, masks, position }: ThingBatch,
  { model: { imageSize: [H, W] }, batch: { micro }, data: { mostThings: M }, seed }: DetectRecipe,
): TruthTensors {
  const keys = Array.from({ length: micro }, (_, n) => fold(key(seed), REGIONS, position, n));
  return {
    filled: tensor(filled, [micro, 2]),
    boxes: tensor(boxes, [micro, M, 4]),
    classes: tensor(classes, [micro, M]),
    masks: tensor(masks, [micro, M, H * W / 32]),
    keys: tensor(Uint32Array.from(keys.flat()), [micro, 2]),
  };
}

/** What the anchors of each map should say, of all images of a batch. */
function anchorBatch(
  { boxes, classes, position }: ThingBatch,
  anchors: readonly Float32Array[],
  K: number,
  { batch: { micro }, data: { mostThings: M }, seed, sampling }: DetectRecipe,
): AnchorTargetTensors[] {
  const all = joinRows(anchors);
  const { anchors: sample } = trainingRuleOf({ sampling });
  const targets = Array.from({ length: micro }, (_, n): AnchorTargets => {
    const count = classes.subarray(n * M, (n + 1) * M).filter((label) => label < K).length;
    const truth = boxes.slice(4 * n * M, 4 * (n * M + count));
    return anchorTargets(all, truth, fold(key(seed), ANCHORS, position, n), sample);
  });
  let start = 0;
  return anchors.map(({ length }) => {
    const A = length / 4;
    const part = (name: keyof AnchorTargets, size: number) =>
      joinRows(targets.map((target) => target[name].subarray(start * size, (start + A) * size)));
    const tensors = {
      labels: tensor(part("labels", 1), [micro, A]),
      weights: tensor(part("weights", 1), [micro, A]),
      deltas: tensor(part("deltas", 4), [micro, A, 4]),
    };
    start += A;
    return tensors;
  });
}

/** Parameters before a checkpoint is loaded into them. */
export function initialDetector(
  { seed }: Pick<DetectRecipe, "seed">,
  settings: MaskRcnnSettings,
): MaskRcnnParams {
  return initMaskRcnn(settings, initializer(fold(key(seed), HEADS)));
}

/**
 * The training task of a recipe: its stages, chained.
 *
 * @param params Initial parameters.
 * @param source Images that all show something, see `withThings`.
 * @throws {UsageError} If a pattern of `optimizer.rates` matches no parameter, or all are frozen.
 */
export function detectTask(
  recipe: DetectRecipe,
  params: MaskRcnnParams,
  { source, classes, onBatch }: {
    readonly source: ThingSource;
    readonly classes: number;
    readonly onBatch?: (batch: ThingBatch) => void;
  },
): Task<Params, DetectBatch & Params> {
  const { optimizer: { rates, minLr }, schedule, batch: { effective } } = recipe;
  const settings = detectorOf(recipe, classes);
  const stages = detectStages(recipe, settings, source, onBatch);
  const frozen = (path: string) => factorOf(rates, path) === 0;
  checkRates(rates, entries<Tensor>(params as Params).map(([path]) => path), frozen);
  const learn = pipe(stages.encode, stages.propose, stages.decode, stages.loss);
  const updates = (epochs: number) => Math.round(epochs * source.length / effective);
  const cosine = {
    ...{ lr: peakRate(recipe), minLr, warmupSteps: updates(schedule.warmupEpochs) },
    steps: Math.max(updates(schedule.epochs), schedule.steps ?? 0),
  };
  return {
    ...pace(recipe, source.length),
    ...memoryOf(recipe),
    separable: false, // the heads' losses are means over the regions of all images
    params: params as Params,
    frozen,
    running: { paths: isRunning, momentum: BATCH_NORM.momentum },
    batches: pipe(stages.decodeData, stages.draw) as Task<Params, DetectBatch & Params>["batches"],
    loss: ({ params, batch }) => learn({ params: params as unknown as MaskRcnnParams, batch }),
    optimizer: stages.optimizer,
    rate: (step) => cosineWithWarmup(cosine, step),
  };
}
