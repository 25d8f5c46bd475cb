/**
 * Linear probing: how well one linear layer tells classes apart by the features of a frozen encoder.
 *
 * As published, training images are cropped anew in every epoch; the fast way trains on features of
 * evaluation crops, computed once.
 *
 * @module
 */
import type { ImageBatch } from "../data/loader.ts";
import { loadBatches } from "../data/loader.ts";
import { softTargets } from "../data/mixup.ts";
import type { ImageSource } from "../data/source.ts";
import type { Device } from "../src/device.ts";
import { initializer } from "../src/init.ts";
import { lars } from "../src/lars.ts";
import {
  classifierFeatures,
  type ClassifierParams,
  type ClassifierSettings,
} from "../src/models/classifier.ts";
import { widthOf } from "../src/models/encoder.ts";
import {
  applyProbe,
  initProbe,
  PROBE_EPS,
  PROBE_MOMENTUM,
  probeLoss,
  type ProbeParams,
} from "../src/models/linear_probe.ts";
import type { Params } from "../src/optim.ts";
import { compile } from "../src/plan/plan.ts";
import { read } from "../src/plan/read.ts";
import { fold, key, permutation } from "../src/random.ts";
import { type Tensor, tensor } from "../src/tensor.ts";
import { type Accuracy, AccuracyCount } from "./accuracy.ts";
import type { LabelledFeatures } from "./eval/knn.ts";
import { pace } from "./pretrain.ts";
import { classifierOf } from "./finetune_recipe.ts";
import type { ProbeRecipe } from "./probe_recipe.ts";
import { inStage } from "../src/op.ts";
import { prepare, type StepMetrics, type Task } from "./train.ts";

/** A frozen encoder with a probe, by the published names. */
export type ProbedParams = Omit<ClassifierParams, "head"> & ProbeParams;

/** Features of N images with their targets, one-hot. */
export interface FeatureBatch {
  readonly [name: string]: Tensor;
  /** `[N, C]`. */
  readonly features: Tensor;
  /** `[N, K]`. */
  readonly targets: Tensor;
}

/** Images with their targets, one-hot. */
export interface ProbeBatch {
  readonly [name: string]: Tensor;
  /** `[N, H, W, C]`. */
  readonly images: Tensor;
  /** `[N, K]`. */
  readonly targets: Tensor;
}

const HEAD = 0x6c696e65; // a key beneath the seed's

/** Paths of the running moments. */
function isRunning(path: string): boolean {
  return path.startsWith("head.0.");
}

/** What trains a probe on features: all of a task but its optimizer, batches and pace. */
export function probeTask(
  params: ProbeParams,
  { eps = PROBE_EPS, momentum = PROBE_MOMENTUM }: { eps?: number; momentum?: number } = {},
): Pick<Task<ProbeParams, FeatureBatch>, "params" | "running" | "loss"> {
  return {
    params,
    running: { paths: isRunning, momentum },
    loss: ({ params, batch }) =>
      inStage("probe", () => measured(params, batch.features, batch.targets, eps)),
  };
}

function measured(params: ProbeParams, features: Tensor, targets: Tensor, eps?: number) {
  const { loss, moments: { mean, variance } } = probeLoss(params, features, targets, eps);
  return { loss, statistics: { "head.0.running_mean": mean, "head.0.running_var": variance } };
}

/** A probe before training. */
export function initialProbe(
  { seed }: Pick<ProbeRecipe, "seed">,
  width: number,
  classes: number,
): ProbeParams {
  return initProbe({ width, classes }, initializer(fold(key(seed), HEAD)));
}

/**
 * The task of a recipe as published: the encoder, frozen, sees random crops.
 *
 * @param params Of the encoder, as `classifierFeatures` takes them.
 */
export function linprobeTask(
  recipe: ProbeRecipe,
  params: ClassifierParams,
  { source, classes, onBatch = () => {} }: {
    readonly source: ImageSource;
    readonly classes: number;
    readonly onBatch?: (batch: ImageBatch) => void;
  },
): Task<Params, ProbeBatch> {
  const settings = classifierOf(recipe, classes);
  const { imageSize: [height, width], channels } = recipe.model;
  const { data, batch: { micro }, seed } = recipe;
  const { head } = initialProbe(recipe, widthOf(settings.encoder), classes);
  const probed = { ...params, head };
  return {
    params: probed as unknown as Params,
    frozen: (path) => !path.startsWith("head."),
    running: { paths: isRunning, momentum: PROBE_MOMENTUM },
    batches: async function* (start) {
      const crop = { height, width, ...data.crop };
      const { mean, std, workers, maxBad } = data;
      const batches = loadBatches({
        ...{ source, seed, start, channels, batch: micro, mean, std, workers, maxBad, crop },
        ...(data.cache && { cache: { folder: data.cache, side: data.cacheSide } }),
      });
      for await (const batch of batches) {
        onBatch(batch);
        yield {
          images: tensor(batch.images, [micro, height, width, channels]),
          targets: tensor(softTargets(batch.labels!, classes, 0), [micro, classes]),
        };
      }
    },
    loss: ({ params, batch }) => {
      const own = params as unknown as ProbedParams;
      const features = inStage("encode", () => probedFeatures(own, settings, batch.images));
      return inStage("probe", () => measured(own, features, batch.targets));
    },
    optimizer: larsOf(recipe),
    ...pace(recipe, source.length),
  };
}

function probedFeatures(
  params: ProbedParams,
  settings: ClassifierSettings,
  images: Tensor,
): Tensor {
  return classifierFeatures(params as unknown as ClassifierParams, settings, images);
}

/** Class scores of a probed encoder, `[N, H, W, C]` → `[N, K]`. */
export function probedScores(
  params: ProbedParams,
  settings: ClassifierSettings,
  images: Tensor,
): Tensor {
  return applyProbe(params, probedFeatures(params, settings, images));
}

function larsOf({ optimizer: { momentum, weightDecay } }: ProbeRecipe) {
  return lars({ momentum, weightDecay });
}

/** How a probe on cached features is trained. */
export type FeatureProbe = Pick<ProbeRecipe, "batch" | "schedule" | "optimizer" | "seed">;

/**
 * Trains a probe on features and measures it on others.
 *
 * @param onStep Sees the metrics of steps, in groups.
 * @returns The probe, and its accuracy.
 */
export async function probeFeatures(
  device: Device,
  recipe: FeatureProbe,
  { train, val, classes }: {
    readonly train: LabelledFeatures;
    readonly val: LabelledFeatures;
    readonly classes: number;
  },
  onStep: (metrics: readonly StepMetrics[]) => void = () => {},
): Promise<{ params: ProbeParams; accuracy: Accuracy }> {
  const { length } = train.labels;
  const width = train.features.length / length;
  const root = key(recipe.seed);
  const n = Math.min(recipe.batch.effective, length);
  const settings = { ...recipe, batch: { micro: n, effective: n } };
  const trainer = await prepare(device, {
    ...probeTask(initialProbe(recipe, width, classes)),
    optimizer: larsOf(recipe as ProbeRecipe),
    batches: async function* (start) {
      let order = new Uint32Array();
      let epoch = -1;
      for (let position = start;; position += n) {
        const indices = Uint32Array.from({ length: n }, (_, i) => {
          const now = Math.floor((position + i) / length);
          if (now !== epoch) order = permutation(fold(root, epoch = now), length);
          return order[(position + i) % length];
        });
        yield await Promise.resolve(batchOf(train, indices, width, classes));
      }
    },
    ...pace(settings as ProbeRecipe, length),
    checks: false,
  });
  for await (const metrics of trainer.run()) onStep(metrics);
  const { params } = await trainer.snapshot();
  trainer.destroy();
  return { params, accuracy: await probeAccuracy(device, params, val, width, classes) };
}

function batchOf(
  { features, labels }: LabelledFeatures,
  indices: Uint32Array,
  width: number,
  classes: number,
): FeatureBatch {
  const values = new Float32Array(indices.length * width);
  indices.forEach((index, i) => {
    values.set(features.subarray(index * width, (index + 1) * width), i * width);
  });
  const own = Int32Array.from(indices, (index) => labels[index]);
  return {
    features: tensor(values, [indices.length, width]),
    targets: tensor(softTargets(own, classes, 0), [indices.length, classes]),
  };
}

async function probeAccuracy(
  device: Device,
  params: ProbeParams,
  { features, labels }: LabelledFeatures,
  width: number,
  classes: number,
): Promise<Accuracy> {
  const most = Math.floor(device.limits.bindingBytes / (4 * width));
  const rows = Math.min(4096, most, labels.length);
  const at = (start: number) => {
    const values = new Float32Array(rows * width);
    values.set(features.subarray(start * width, (start + rows) * width));
    return { params: params as Params, x: tensor(values, [rows, width]) };
  };
  const plan = await compile(
    device,
    ({ params, x }) => ({ scores: applyProbe(params as unknown as ProbeParams, x as Tensor) }),
    at(0),
  );
  const count = new AccuracyCount();
  for (let start = 0; start < labels.length; start += rows) {
    const own = labels.subarray(start, start + rows);
    const scores = await read(device, plan.run(at(start)).scores) as Float32Array;
    count.add(scores.subarray(0, own.length * classes), own);
  }
  plan.destroy();
  return count.result();
}
