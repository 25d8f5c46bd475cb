/**
 * Fine-tuning of a pretrained encoder to segment images, stage by stage:
 *
 *     decode data → draw → encode → decode → loss → optimizer
 *
 * The first two run on the host and give micro-batches; the next three are one graph. BatchNorms use
 * the moments of each micro-batch; their running moments take in the mean of a step's.
 *
 * @module
 */
import { loadMaskBatches, type MaskBatch } from "../../data/masks/loader.ts";
import type { MaskSource } from "../../data/masks/source.ts";
import { initializer } from "../../src/init.ts";
import { BATCH_NORM, byBatch, isRunning } from "../../src/models/batch_norm.ts";
import {
  drawsOf,
  initSegmenter,
  type Maps,
  type Scores,
  segmenterDecays,
  segmenterLayerDecay,
  segmenterLosses,
  segmenterMaps,
  type SegmenterMode,
  type SegmenterParams,
  segmenterScores,
  type SegmenterSettings,
} from "../../src/models/segmenter.ts";
import { add } from "../../src/ops/map.ts";
import { adamW, type Optimizer, type Params } from "../../src/optim.ts";
import { fold, key, uniform } from "../../src/random.ts";
import { factorOf } from "../../src/rules.ts";
import { warmupPoly } from "../../src/schedule.ts";
import { type Tensor, tensor } from "../../src/tensor.ts";
import { entries } from "../../src/tree.ts";
import { checkRates, memoryOf, pace, peakRate } from "../pretrain.ts";
import { pipe, type Stage, stage } from "../stage.ts";
import type { Task } from "../train.ts";
import type { Measured } from "../train_step.ts";
import { ruleOf, scaleOf, segmenterOf, type SegmentRecipe } from "./recipe.ts";

/** A micro-batch as the segmenter takes it. */
export interface SegmentBatch {
  readonly [name: string]: Tensor;
  /** `[N, H, W, C]`. */
  readonly images: Tensor;
  /** `[N, H, W]`, u32. */
  readonly labels: Tensor;
  /** Draws for stochastic depth, `[N, 2 · blocks]`. */
  readonly paths: Tensor;
  /** Draws for dropout, a channel each, `[N, …]`. */
  readonly drops: Tensor;
}

type Batches<Batch> = AsyncGenerator<Batch, void, void>;

interface Pairs {
  readonly params: SegmenterParams;
  readonly batch: SegmentBatch;
}

interface Encoded extends Pairs {
  readonly maps: Maps;
  readonly mode: SegmenterMode;
  readonly statistics: () => Record<string, Tensor>;
}

/** Draws of a run: each use has a key of its own beneath the seed's. */
const PATHS = 0x70617468;
const DROPS = 0x64726f70;
const HEADS = 0x68656164;

/** The stages of a recipe, by name. */
export interface SegmentStages {
  /** Sample position → decoded, augmented images with their masks, without end. */
  readonly decodeData: Stage<number, Batches<MaskBatch>>;
  readonly draw: Stage<Batches<MaskBatch>, Batches<SegmentBatch>>;
  readonly encode: Stage<Pairs, Encoded>;
  readonly decode: Stage<Encoded, Encoded & Scores>;
  readonly loss: Stage<Encoded & Scores, Measured>;
  readonly optimizer: Optimizer;
}

/**
 * Makes the stages of a recipe.
 *
 * @param onBatch Sees every batch that is about to be used, for the list of bad files.
 */
export function segmentStages(
  recipe: SegmentRecipe,
  settings: SegmenterSettings,
  source: MaskSource,
  onBatch: (batch: MaskBatch) => void = () => {},
): SegmentStages {
  const { model: { imageSize: [height, width], channels }, data, seed, optimizer } = recipe;
  const { batch: { micro } } = recipe;
  const decay = segmenterLayerDecay(settings, optimizer.layerDecay);
  return {
    decodeData: (start) =>
      loadMaskBatches({
        ...{ source, seed, start, batch: micro, workers: data.workers, maxBad: data.maxBad },
        ...{ channels, mean: data.mean, std: data.std, rule: ruleOf(data, settings.classes) },
        ...{ crop: { height, width }, scale: scaleOf(data.resize), ratio: data.resize.ratio },
        ...{ flip: data.flip, photometric: data.photometric, categoryShare: data.categoryShare },
      }),
    draw: async function* (batches) {
      const { paths, drops } = drawsOf(settings);
      for await (const batch of batches) {
        onBatch(batch);
        const draws = (use: number, count: number) =>
          tensor(uniform(fold(key(seed), use, batch.position), micro * count), [micro, count]);
        yield {
          images: tensor(batch.images, [micro, height, width, channels]),
          labels: tensor(batch.labels, [micro, height, width]),
          ...{ paths: draws(PATHS, paths), drops: draws(DROPS, drops) },
        };
      }
    },
    encode: stage("encode", ({ params, batch }) => {
      const { normalise, statistics } = byBatch(params);
      const mode = { normalise, draws: batch };
      const maps = segmenterMaps(params, settings, batch.images, mode);
      return { params, batch, maps, mode, statistics };
    }),
    decode: stage("decode", (encoded) => ({
      ...encoded,
      ...segmenterScores(encoded.params, settings, encoded.maps, encoded.mode),
    })),
    loss: stage("loss", (scored) => {
      const losses = segmenterLosses(scored, scored.batch.labels);
      return {
        loss: add(losses.main, losses.auxiliary),
        terms: losses,
        statistics: scored.statistics(),
      };
    }),
    optimizer: adamW({
      ...optimizer,
      decays: segmenterDecays,
      rate: (path) => decay(path) * factorOf(optimizer.rates, path),
    }),
  };
}

/** Parameters before a checkpoint is loaded into them. */
export function initialSegmenter(
  { seed }: Pick<SegmentRecipe, "seed">,
  settings: SegmenterSettings,
): SegmenterParams {
  return initSegmenter(settings, initializer(fold(key(seed), HEADS)));
}

/**
 * The training task of a recipe: its stages, chained.
 *
 * @param params Initial parameters.
 * @throws {UsageError} If a pattern of `optimizer.rates` matches no parameter, or all are frozen.
 */
export function segmentTask(
  recipe: SegmentRecipe,
  params: SegmenterParams,
  { source, classes, onBatch }: {
    readonly source: MaskSource;
    readonly classes: number;
    readonly onBatch?: (batch: MaskBatch) => void;
  },
): Task<Params, SegmentBatch> {
  const { optimizer: { rates, minLr, power }, schedule, batch: { effective } } = recipe;
  const settings = segmenterOf(recipe, classes);
  const stages = segmentStages(recipe, settings, source, onBatch);
  const frozen = (path: string) => factorOf(rates, path) === 0;
  checkRates(rates, entries<Tensor>(params as Params).map(([path]) => path), frozen);
  const chain = pipe(stages.encode, stages.decode, stages.loss);
  const updates = (epochs: number) => Math.round(epochs * source.length / effective);
  const poly = {
    ...{ lr: peakRate(recipe), minLr, power, warmupSteps: updates(schedule.warmupEpochs) },
    steps: Math.max(updates(schedule.epochs), schedule.steps ?? 0),
  };
  return {
    ...pace(recipe, source.length),
    ...memoryOf(recipe),
    separable: false, // a BatchNorm's moments are those of all samples that the device has at once
    params: params as Params,
    frozen,
    running: { paths: isRunning, momentum: BATCH_NORM.momentum },
    batches: pipe(stages.decodeData, stages.draw),
    loss: ({ params, batch }) => chain({ params: params as unknown as SegmenterParams, batch }),
    optimizer: stages.optimizer,
    rate: (step) => warmupPoly(poly, step),
  };
}
