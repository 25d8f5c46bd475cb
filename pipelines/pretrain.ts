/**
 * Pretraining of masked autoencoders on images, stage by stage:
 *
 *     decode data → mask → encode → decode → loss → optimizer
 *
 * The first two run on the host and give micro-batches; the next three are one graph, from which the
 * loop in `train.ts` takes gradients; the last makes new parameters of them.
 *
 * @module
 */
import { type ImageBatch, loadBatches } from "../data/loader.ts";
import { randomMask } from "../data/mask.ts";
import type { ImageSource } from "../data/source.ts";
import { type Autoencoder, autoencoder } from "../src/models/autoencoder.ts";
import { FROZEN, type MaskedImages } from "../src/models/decoder.ts";
import { adamW, type Optimizer, type Params } from "../src/optim.ts";
import { fold, type Key, key } from "../src/random.ts";
import { factorOf, matches, type Rules } from "../src/rules.ts";
import { scaledRate, warmupCosine } from "../src/schedule.ts";
import { type Tensor, tensor } from "../src/tensor.ts";
import { entries } from "../src/tree.ts";
import { type AdamWFields, nearest, type Recipe, type RunSettings, UsageError } from "./recipe.ts";
import { pipe, type Stage, stage } from "./stage.ts";
import type { Task } from "./train.ts";

/** A micro-batch as the model takes it. */
export interface MaskedBatch extends MaskedImages {
  readonly [name: string]: Tensor;
}

type Batches<Batch> = AsyncGenerator<Batch, void, void>;

interface Masked {
  readonly params: Params;
  readonly batch: MaskedBatch;
}

/** Draws of a run: each use has a key of its own beneath the seed's, far from the loader's epochs. */
const MASKS = 0x6d61736b;
const PARAMETERS = 0x70617261;
export const PICTURES = 0x70696374;
export const VALIDATION = 0x76616c69;

/** The stages of a recipe, by name; images come in batches of type B. */
export interface PretrainStages<B = ImageBatch> {
  /** Sample position → decoded, augmented images, without end. */
  readonly decodeData: Stage<number, Batches<B>>;
  readonly mask: Stage<Batches<B>, Batches<MaskedBatch>>;
  readonly encode: Stage<Masked, Masked & { readonly latent: Tensor }>;
  readonly decode: Stage<
    Masked & { readonly latent: Tensor },
    Masked & { readonly predicted: Tensor }
  >;
  readonly loss: Stage<Masked & { readonly predicted: Tensor }, Tensor>;
  readonly optimizer: Optimizer;
}

/**
 * Makes the stages of a recipe.
 *
 * @param onBatch Sees every batch that is about to be used, for the list of bad files.
 */
export function pretrainStages(
  recipe: Recipe,
  source: ImageSource,
  onBatch: (batch: ImageBatch) => void = () => {},
): PretrainStages {
  const model: Autoencoder<Params> = autoencoder(recipe.model) as Autoencoder<never>;
  const { imageSize: [height, width], channels } = recipe.model;
  const { data, batch: { micro }, seed, optimizer } = recipe;
  return {
    decodeData: (start) =>
      loadBatches({
        ...{ source, seed, start, channels, batch: micro },
        ...{ mean: data.mean, std: data.std, workers: data.workers, maxBad: data.maxBad },
        crop: { height, width, ...data.crop },
        ...(data.cache && { cache: { folder: data.cache, side: data.cacheSide } }),
      }),
    mask: async function* (batches) {
      for await (const batch of batches) {
        onBatch(batch);
        yield maskBatch(recipe, model, batch);
      }
    },
    ...modelStages(model, optimizer),
  };
}

/** The stages that run on the device; they are the same for images and clips. */
export function modelStages(
  model: Autoencoder<Params>,
  optimizer: AdamWFields,
): Pick<PretrainStages, "encode" | "decode" | "loss" | "optimizer"> {
  return {
    encode: stage("encode", (masked) => ({
      ...masked,
      latent: model.encode(masked.params, masked.batch),
    })),
    decode: stage("decode", ({ params, batch, latent }) => ({
      ...{ params, batch },
      predicted: model.decode(params, latent, batch),
    })),
    loss: stage("loss", ({ predicted, batch }) => model.loss(predicted, batch)),
    optimizer: adamW({ ...optimizer, rate: (path) => factorOf(optimizer.rates, path) }),
  };
}

/** Draws the masks of a batch; a sample's depends on the seed and its position alone. */
function maskBatch(recipe: Recipe, model: Autoencoder<Params>, batch: ImageBatch): MaskedBatch {
  const { imageSize: [height, width], channels } = recipe.model;
  const n = recipe.batch.micro;
  const keys = maskKeys(recipe, batch.position);
  const images = tensor(batch.images, [n, height, width, channels]);
  return { images, ...maskTensors(model, randomMask(keys, model.masked, recipe.maskRatio), n) };
}

/** Keys of the masks of a micro-batch that ends at a position. */
export function maskKeys(
  { seed, batch: { micro } }: Pick<RunSettings, "seed" | "batch">,
  position: number,
): Key[] {
  const root = fold(key(seed), MASKS);
  return Array.from({ length: micro }, (_, i) => fold(root, position - micro + i));
}

/** A mask as the model takes it; under token-wise masking every final token is kept. */
export function maskTensors(
  model: Pick<Autoencoder<never>, "masked" | "tokens">,
  mask: ReturnType<typeof randomMask>,
  n: number,
): Omit<MaskedImages, "images"> {
  const removed = tensor(mask.removed, [n, model.masked]);
  if (model.masked !== model.tokens) {
    const all = tensor(Uint32Array.from({ length: n * model.tokens }, (_, i) => i % model.tokens), [
      n,
      model.tokens,
    ]);
    return { keep: all, restore: all, removed };
  }
  return {
    keep: tensor(mask.keep, [n, mask.visible]),
    restore: tensor(mask.restore, [n, model.tokens]),
    removed,
  };
}

/** Initial parameters of a recipe's model. */
export function initialParams({ model, seed }: Pick<Recipe, "model" | "seed">): Params {
  return initialOf(autoencoder(model) as Autoencoder<never>, seed);
}

/** Initial parameters of a model. */
export function initialOf(model: Pick<Autoencoder<Params>, "init">, seed: number): Params {
  return model.init(fold(key(seed), PARAMETERS));
}

/** Rate at an effective batch: the base rate scaled. */
export function peakRate({ optimizer, batch }: Pick<RunSettings, "optimizer" | "batch">): number {
  return scaledRate(optimizer.blr, batch.effective);
}

/** Updates of a whole run. */
export function totalSteps(
  { schedule, batch }: Pick<RunSettings, "schedule" | "batch">,
  images: number,
): number {
  return schedule.steps ?? Math.ceil(schedule.epochs * images / batch.effective);
}

/**
 * The training task of a recipe: its stages, chained.
 *
 * @throws {UsageError} If a pattern of `optimizer.rates` matches no parameter, or all are frozen.
 */
export function pretrainTask(
  recipe: Recipe,
  source: ImageSource,
  onBatch?: (batch: ImageBatch) => void,
): Task<Params, MaskedBatch> {
  return taskOf(
    recipe,
    pretrainStages(recipe, source, onBatch),
    initialParams(recipe),
    source.length,
  );
}

/** Stages, chained. */
export function taskOf<B>(
  recipe: RunSettings & Pick<Recipe, "memory">,
  { decodeData, mask, encode, decode, loss, optimizer }: PretrainStages<B>,
  params: Params,
  samples: number,
): Task<Params, MaskedBatch> {
  const { optimizer: { rates } } = recipe;
  const isTable = (path: string) => FROZEN.includes(path.split(".")[0]);
  const frozen = (path: string) => isTable(path) || factorOf(rates, path) === 0;
  checkRates(rates, entries<Tensor>(params).map(([path]) => path), frozen);
  return {
    params,
    frozen,
    batches: pipe(decodeData, mask),
    loss: pipe(encode, decode, loss),
    optimizer,
    ...memoryOf(recipe),
    ...pace(recipe, samples),
  };
}

/** What a task keeps in memory; its loss is the mean over samples, each of equal weight. */
export function memoryOf(
  { memory: { recompute, activations } }: Pick<Recipe, "memory">,
): Required<Pick<Task<Params, Params>, "recompute" | "half" | "separable">> {
  return { recompute: recompute === "blocks", half: activations === "f16", separable: true };
}

/** How a run goes: its batches, its rate at each step, and its end. */
export function pace(recipe: RunSettings, images: number) {
  const { schedule, batch, optimizer: { minLr, emaDecay, clipNorm } } = recipe;
  const cosine = {
    lr: peakRate(recipe),
    minLr,
    warmupEpochs: schedule.warmupEpochs,
    // A run that goes on past its epochs ends its cosine where it ends.
    epochs: Math.max(schedule.epochs, (schedule.steps ?? 0) * batch.effective / images),
  };
  return {
    clipNorm,
    emaDecay,
    microBatch: batch.micro,
    accumulate: batch.effective / batch.micro,
    rate: (step: number) => warmupCosine(cosine, step * batch.effective / images),
    steps: totalSteps(recipe, images),
  };
}

/** @throws {UsageError} If a pattern matches no parameter, or all are frozen. */
export function checkRates(
  rates: Rules,
  paths: readonly string[],
  frozen: (path: string) => boolean,
): void {
  for (const [pattern] of rates) {
    if (paths.some((path) => matches(pattern, path))) continue;
    const meant = nearest(pattern, paths);
    const advice = meant ? `: did you mean ${meant}?` : "";
    throw new UsageError(`Recipe field optimizer.rates: no parameter matches ${pattern}${advice}`);
  }
  if (paths.every(frozen)) {
    throw new UsageError("Recipe field optimizer.rates freezes every parameter");
  }
}
