/**
 * Fine-tuning of a pretrained encoder to tell classes apart, stage by stage:
 *
 *     decode data → mix → encode → classify → loss → optimizer
 *
 * The first two run on the host and give micro-batches; the next three are one graph, from which the
 * loop in `train.ts` takes gradients; the last makes new parameters of them.
 *
 * @module
 */
import { type ImageBatch, loadBatches } from "../data/loader.ts";
import {
  type BatchShape,
  drawMixes,
  type Mix,
  mixImages,
  mixTargets,
  softTargets,
} from "../data/mixup.ts";
import type { ImageSource } from "../data/source.ts";
import { initializer } from "../src/init.ts";
import {
  classifierDecays,
  classifierFeatures,
  type ClassifierParams,
  type ClassifierSettings,
  initClassifier,
  layerDecay,
  logitsOf,
  pathsOf,
} from "../src/models/classifier.ts";
import type { EncoderSettings, VideoEncoderSettings } from "../src/models/encoder.ts";
import { crossEntropy } from "../src/ops/cross_entropy.ts";
import { adamW, type Optimizer, type Params } from "../src/optim.ts";
import { fold, key, uniform } from "../src/random.ts";
import { factorOf } from "../src/rules.ts";
import { type Tensor, tensor } from "../src/tensor.ts";
import { entries } from "../src/tree.ts";
import { classifierOf, type FinetuneRecipe, mixes } from "./finetune_recipe.ts";
import { checkRates, memoryOf, pace } from "./pretrain.ts";
import { pipe, type Stage, stage } from "./stage.ts";
import type { Task } from "./train.ts";

/** A micro-batch as the classifier takes it. */
export interface LabelledBatch {
  readonly [name: string]: Tensor;
  /** `[N, H, W, C]`; of clips `[N, T, H, W, C]`. */
  readonly images: Tensor;
  /** `[N, K]`, each row sums to 1. */
  readonly targets: Tensor;
  /** Draws for stochastic depth, `[N, 2 · blocks]`. */
  readonly paths: Tensor;
}

type Batches<Batch> = AsyncGenerator<Batch, void, void>;

interface Labelled {
  readonly params: ClassifierParams;
  readonly batch: LabelledBatch;
}

/** Draws of a run: each use has a key of its own beneath the seed's. */
const MIXES = 0x6d697865;
const PATHS = 0x70617468;
const HEAD = 0x68656164;

/** A classifier of images or clips. */
type AnyClassifier = ClassifierSettings<EncoderSettings | VideoEncoderSettings>;

/** The stages of a recipe, by name; images come in batches of type B. */
export interface FinetuneStages<B = ImageBatch> {
  /** Sample position → decoded, augmented images, without end. */
  readonly decodeData: Stage<number, Batches<B>>;
  readonly mix: Stage<Batches<B>, Batches<LabelledBatch>>;
  readonly encode: Stage<Labelled, Labelled & { readonly features: Tensor }>;
  readonly classify: Stage<
    Labelled & { readonly features: Tensor },
    Labelled & { readonly logits: Tensor }
  >;
  readonly loss: Stage<Labelled & { readonly logits: Tensor }, Tensor>;
  readonly optimizer: Optimizer;
}

/**
 * Makes the stages of a recipe.
 *
 * @param source Images that all have a label.
 * @param onBatch Sees every batch that is about to be used, for the list of bad files.
 */
export function finetuneStages(
  recipe: FinetuneRecipe,
  settings: ClassifierSettings,
  source: ImageSource,
  onBatch: (batch: ImageBatch) => void = () => {},
): FinetuneStages {
  const { imageSize: [height, width], channels } = recipe.model;
  const { data, batch: { micro }, augment, seed, optimizer } = recipe;
  const { randAugment, colorJitter, eraseProbability, eraseMode, repeats } = augment;
  return {
    decodeData: (start) =>
      loadBatches({
        ...{ source, seed, start, channels, batch: micro, repeats },
        ...{ mean: data.mean, std: data.std, workers: data.workers, maxBad: data.maxBad },
        crop: { height, width, ...data.crop },
        ...((randAugment !== null || colorJitter > 0) && { augment: { randAugment, colorJitter } }),
        ...(eraseProbability > 0 && { erase: { probability: eraseProbability, mode: eraseMode } }),
        ...(data.cache && { cache: { folder: data.cache, side: data.cacheSide } }),
      }),
    mix: async function* (batches) {
      for await (const batch of batches) {
        onBatch(batch);
        yield mixBatch(recipe, settings, batch);
      }
    },
    ...headStages(settings, optimizer),
  };
}

/** The stages that run on the device; they are the same for images and clips. */
export function headStages(
  settings: AnyClassifier,
  optimizer: FinetuneRecipe["optimizer"],
): Pick<FinetuneStages, "encode" | "classify" | "loss" | "optimizer"> {
  const decay = layerDecay(settings.encoder, optimizer.layerDecay);
  return {
    encode: stage("encode", ({ params, batch }) => ({
      ...{ params, batch },
      features: classifierFeatures(
        params,
        settings,
        batch.images,
        settings.dropPath > 0 ? batch.paths : undefined,
      ),
    })),
    classify: stage("classify", ({ params, batch, features }) => ({
      ...{ params, batch },
      logits: logitsOf(params, features),
    })),
    loss: stage("loss", ({ logits, batch }) => crossEntropy(logits, batch.targets)),
    optimizer: adamW({
      ...optimizer,
      decays: classifierDecays,
      rate: (path) => decay(path) * factorOf(optimizer.rates, path),
    }),
  };
}

/** Mixes a batch of images; the mixes depend on the seed and the batch's position alone. */
function mixBatch(
  recipe: FinetuneRecipe,
  settings: ClassifierSettings,
  { images, labels, position }: ImageBatch,
): LabelledBatch {
  const { model: { imageSize: [height, width], channels }, batch: { micro: n } } = recipe;
  return mixedBatch(recipe, settings, images, [n, height, width, channels], labels!, position);
}

/**
 * Mixes normalised images or clips and their labels, and draws paths; draws depend on the seed and the
 * position alone.
 *
 * @param shape `[N, H, W, C]`, or `[N, T, H, W, C]`.
 * @param position Of the batch in its run.
 */
export function mixedBatch(
  { seed, mix }: Pick<FinetuneRecipe, "seed" | "mix">,
  settings: AnyClassifier,
  images: Float32Array<ArrayBuffer>,
  shape: BatchShape,
  labels: Int32Array,
  position: number,
): LabelledBatch {
  const root = key(seed);
  const [n] = shape;
  const [height, width] = shape.slice(-3);
  const plan: Mix[] | undefined = mixes(mix)
    ? drawMixes(fold(root, MIXES, position), n, { width, height }, mix)
    : undefined;
  const targets = plan
    ? mixTargets(labels, settings.classes, mix.smoothing, plan)
    : softTargets(labels, settings.classes, mix.smoothing);
  const count = pathsOf(settings);
  return {
    images: tensor(plan ? mixImages(images, shape, plan) : images, shape),
    targets: tensor(targets, [n, settings.classes]),
    paths: tensor(uniform(fold(root, PATHS, position), n * count), [n, count]),
  };
}

/** Parameters before a checkpoint is loaded into them. */
export function initialClassifier(
  recipe: Pick<FinetuneRecipe, "seed">,
  settings: AnyClassifier,
): ClassifierParams {
  return initClassifier(settings, initializer(fold(key(recipe.seed), HEAD)));
}

/**
 * The training task of a recipe: its stages, chained.
 *
 * @param params Initial parameters.
 * @throws {UsageError} If a pattern of `optimizer.rates` matches no parameter, or all are frozen.
 */
export function finetuneTask(
  recipe: FinetuneRecipe,
  params: ClassifierParams,
  { source, classes, onBatch }: {
    readonly source: ImageSource;
    readonly classes: number;
    readonly onBatch?: (batch: ImageBatch) => void;
  },
): Task<Params, LabelledBatch> {
  const settings = classifierOf(recipe, classes);
  const stages = finetuneStages(recipe, settings, source, onBatch);
  return { ...classifierTask(recipe, stages, params), ...pace(recipe, source.length) };
}

/** Stages, chained; how the run goes is left to the caller. */
export function classifierTask<B>(
  { optimizer: { rates }, memory }: Pick<FinetuneRecipe, "optimizer" | "memory">,
  { decodeData, mix, encode, classify, loss, optimizer }: FinetuneStages<B>,
  params: ClassifierParams,
): Omit<Task<Params, LabelledBatch>, keyof ReturnType<typeof pace>> {
  const frozen = (path: string) => factorOf(rates, path) === 0;
  checkRates(rates, entries<Tensor>(params as Params).map(([path]) => path), frozen);
  const chain = pipe(encode, classify, loss);
  return {
    params: params as Params,
    frozen,
    batches: pipe(decodeData, mix),
    loss: ({ params, batch }) => chain({ params: params as unknown as ClassifierParams, batch }),
    optimizer,
    ...memoryOf({ memory }),
  };
}
