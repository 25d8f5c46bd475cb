/**
 * What pretraining is worth on Fashion-MNIST: encoders that were pretrained in different ways, or not
 * at all, measured alike. One row a way, several seeds.
 *
 * @module
 */
import { findImages } from "../data/find.ts";
import { subset } from "../data/place.ts";
import { type ImageSource, openSource } from "../data/source.ts";
import { describeModel, writeModels } from "./checkpoints.ts";
import type { Device } from "../src/device.ts";
import { classifierFeatures, type ClassifierParams, logitsOf } from "../src/models/classifier.ts";
import { loadClassifier, loadPretrained } from "../src/pretrained.ts";
import { sizeOf, type Tensor } from "../src/tensor.ts";
import { entries } from "../src/tree.ts";
import { prepareAccuracy } from "./accuracy.ts";
import { extractFeatures, type Features } from "./eval/features.ts";
import { knnAccuracy, type LabelledFeatures } from "./eval/knn.ts";
import { finetuneTask, initialClassifier } from "./finetune.ts";
import {
  classifierOf,
  evaluationCropOf,
  type FinetunePreset,
  type FinetuneRecipe,
} from "./finetune_recipe.ts";
import { complete } from "./from_checkpoint.ts";
import { type FeatureProbe, probeFeatures } from "./linprobe.ts";
import { initialParams, pretrainTask } from "./pretrain.ts";
import { override, type Recipe } from "./recipe.ts";
import { prepare } from "./train.ts";
import { UsageError } from "./usage.ts";

/** Images and settings of the comparison. */
export interface FashionSettings {
  readonly train: ImageSource;
  readonly test: ImageSource;
  /** Where checkpoints of the encoders go. */
  readonly folder: string;
  /** Of no epochs: nothing is fine-tuned. */
  readonly finetuning: FinetunePreset;
  readonly probe: FeatureProbe;
  /** Is told what is being done. */
  readonly say: (text: string) => void;
}

/** A way to an encoder. */
export interface Way {
  readonly name: string;
  /** The pretraining recipe; raw pixels have none. */
  readonly recipe?: Recipe;
  /** False leaves the encoder as it was drawn. */
  readonly isTrained?: boolean;
}

/** Figures of one way and one seed; shares of the test images, seconds. */
export interface FashionResult {
  readonly way: string;
  readonly seed: number;
  readonly linprobe: number;
  readonly knn: number;
  readonly finetuned?: number;
  /** Parameters of the encoder. */
  readonly parameters?: number;
  readonly pretrainSeconds?: number;
  readonly seconds: number;
}

export const CLASSES = 10;

/** The ways, from the poorest: the paper expects each to be better than the one before. */
export function waysOf(mcmae: Recipe, mae: Recipe): Way[] {
  return [
    { name: "raw pixels" },
    { name: "random encoder", recipe: mcmae, isTrained: false },
    { name: "MAE (ViT)", recipe: mae },
    {
      name: "MCMAE, convolutions not masked",
      recipe: override(mcmae, ["model.maskedConvolution=false"]),
    },
    { name: "MCMAE", recipe: mcmae },
  ];
}

/**
 * Opens Fashion-MNIST.
 *
 * @param most Images of each split, for a quick look; all if left out.
 */
export async function openFashion(
  path: string,
  most?: number,
): Promise<Pick<FashionSettings, "train" | "test">> {
  const { train, val: test } = await findImages(path);
  if (!test?.labels || !train.labels) {
    throw new UsageError(`Cannot use ${path}: it lacks images or labels of train or t10k`);
  }
  const some = (source: ImageSource) =>
    most === undefined || most >= source.length
      ? source
      : subset(source, Uint32Array.from({ length: most }, (_, i) => i));
  return { train: some(train), test: some(test) };
}

/** Makes an encoder and measures it. */
export async function measureWay(
  device: Device,
  settings: FashionSettings,
  { name, recipe, isTrained = true }: Way,
  seed: number,
): Promise<FashionResult> {
  const began = performance.now();
  const since = (start: number) => (performance.now() - start) / 1000;
  if (!recipe) {
    const pixels = { train: await pixelsOf(settings.train), test: await pixelsOf(settings.test) };
    const figures = await measureFeatures(device, settings, seed, pixels, pixels);
    return { way: name, seed, ...figures, seconds: since(began) };
  }
  const seeded: Recipe = { ...recipe, seed };
  const path = `${settings.folder}/${name.replaceAll(/\W+/g, "_")}-${seed}`;
  const start = performance.now();
  await makeEncoder(device, settings, seeded, path, isTrained);
  const pretrainSeconds = isTrained ? since(start) : undefined;
  const checkpoint = `${path}/checkpoint.safetensors`;
  const pretrained = await loadPretrained(checkpoint);
  settings.say("features");
  const layers = probedLayers(recipe);
  const featuresOf = async (source: ImageSource) => {
    const { labels: known, ...extracted } = await extractFeatures(device, pretrained, source, {
      ...{ layers: ["global", ...layers], pooled: false, batch: 128, cropPct: 1 },
    });
    const labels = known!;
    return {
      mean: { features: extracted.features.global, labels },
      tokens: { features: joinLayers(extracted, layers), labels },
    };
  };
  const [train, test] = [await featuresOf(settings.train), await featuresOf(settings.test)];
  const figures = await measureFeatures(
    device,
    settings,
    seed,
    { train: train.tokens, test: test.tokens },
    { train: train.mean, test: test.mean },
  );
  const classifier = await classifierFrom(checkpoint, settings.finetuning, seed);
  const top1 = settings.finetuning.schedule.epochs > 0
    ? await finetuned(device, settings, classifier)
    : undefined;
  return {
    ...{ way: name, seed, ...figures, finetuned: top1, parameters: encoderSize(classifier.params) },
    ...{ pretrainSeconds, seconds: since(began) },
  };
}

/** Layers whose tokens are probed: those that the decoder gets. */
export function probedLayers({ model }: Recipe): string[] {
  return model.kind === "mae" ? ["e3"] : ["e1", "e2", "e3"];
}

/**
 * Square layers side by side: for each place of the smallest, the mean of every layer there.
 *
 * @param layers Names, the smallest last, whose side divides the others': maps `[N, H, H, C]`, tokens
 * `[N, H·H, C]`.
 * @returns `[N, L, ΣC]`.
 */
export function joinLayers(
  { features, shapes }: Pick<Features, "features" | "shapes">,
  layers: readonly string[],
): Float32Array<ArrayBuffer> {
  const sideOf = (name: string) => Math.sqrt(sizeOf(shapes[name].slice(1, -1)));
  const widths = layers.map((name) => shapes[name].at(-1)!);
  const width = widths.reduce((sum, channels) => sum + channels);
  const [N] = shapes[layers[0]];
  const side = sideOf(layers.at(-1)!);
  const joined = new Float32Array(N * side * side * width);
  let before = 0; // channels of earlier layers
  layers.forEach((name, layer) => {
    const channels = widths[layer];
    const own = sideOf(name);
    const step = own / side;
    for (let cell = 0; cell < N * own * own; cell++) {
      const [n, row, column] = [
        Math.floor(cell / own / own),
        Math.floor(cell / own) % own,
        cell % own,
      ];
      const place = (n * side + Math.floor(row / step)) * side + Math.floor(column / step);
      for (let c = 0; c < channels; c++) {
        joined[place * width + before + c] += features[name][cell * channels + c] / step ** 2;
      }
    }
    before += channels;
  });
  return joined;
}

/** Pixels as they are, for features. */
async function pixelsOf(source: ImageSource): Promise<LabelledFeatures> {
  const { get } = await openSource(source, 1);
  const { pixels: { length: size } } = await get(0);
  const features = new Float32Array(source.length * size);
  for (let i = 0; i < source.length; i++) {
    const { pixels } = await get(i);
    for (let j = 0; j < size; j++) features[i * size + j] = pixels[j] / 255;
  }
  return { features, labels: source.labels! };
}

/** Pretrains, or just draws, and writes the model. */
async function makeEncoder(
  device: Device,
  { train, say }: FashionSettings,
  recipe: Recipe,
  folder: string,
  isTrained: boolean,
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  const about = describeModel(recipe.model, recipe.data);
  if (!isTrained) {
    const weights = { params: initialParams(recipe), state: {} };
    return await writeModels(folder, { step: 0, position: 0, weights }, about);
  }
  const task = pretrainTask(recipe, train);
  const trainer = await prepare(device, { ...task, checks: false });
  for await (const group of trainer.run()) {
    const { step, loss, imagesPerSecond } = group.at(-1)!;
    say(
      `pretraining ${step}/${task.steps}, loss ${loss.toFixed(3)}, ${
        imagesPerSecond.toFixed(0)
      } images/s`,
    );
  }
  const weights = await trainer.snapshot();
  trainer.destroy();
  await writeModels(folder, { step: task.steps, position: 0, weights }, about);
}

/** Features of both splits. */
interface Splits {
  readonly train: LabelledFeatures;
  readonly test: LabelledFeatures;
}

/**
 * Probes all tokens, side by side as the pixels are, and finds neighbours by the mean token: a mean
 * over the 49 tokens of so small an encoder says too little to a linear layer.
 */
async function measureFeatures(
  device: Device,
  { probe, say }: FashionSettings,
  seed: number,
  all: Splits,
  mean: Splits,
): Promise<Pick<FashionResult, "linprobe" | "knn">> {
  const setsOf = ({ train, test }: Splits) => ({ train, val: test, classes: CLASSES });
  say("linear probe");
  const { accuracy: { top1: linprobe } } = await probeFeatures(
    device,
    { ...probe, seed },
    setsOf(all),
  );
  say("nearest neighbours");
  const { top1: knn } = await knnAccuracy(device, setsOf(mean));
  return { linprobe, knn };
}

/** A classifier, and how it is fine-tuned. */
interface Start {
  readonly recipe: FinetuneRecipe;
  readonly classifier: ReturnType<typeof classifierOf>;
  readonly params: ClassifierParams;
}

/** Puts a new head on an encoder. */
async function classifierFrom(
  checkpoint: string,
  finetuning: FinetunePreset,
  seed: number,
): Promise<Start> {
  const recipe = { ...await complete(finetuning, checkpoint), seed } as unknown as FinetuneRecipe;
  const classifier = classifierOf(recipe, CLASSES);
  const initial = initialClassifier(recipe, classifier);
  const { params } = await loadClassifier(checkpoint, classifier, initial);
  return { recipe, classifier, params };
}

/** Numbers in a classifier without its head. */
function encoderSize(params: ClassifierParams): number {
  const encoder = entries<Tensor>(params).filter(([path]) => !path.startsWith("head."));
  return encoder.reduce((size, [, { shape }]) => size + sizeOf(shape), 0);
}

/** Fine-tunes. Returns the share of the test images that are then told right. */
async function finetuned(
  device: Device,
  { train, test, say }: FashionSettings,
  { recipe, classifier, params }: Start,
): Promise<number> {
  say("fine-tuning");
  const task = finetuneTask(recipe, params, { source: train, classes: CLASSES });
  const trainer = await prepare(device, { ...task, checks: false });
  for await (const group of trainer.run()) {
    const { step, loss, imagesPerSecond } = group.at(-1)!;
    say(
      `fine-tuning ${step}/${task.steps}, loss ${loss.toFixed(3)}, ${
        imagesPerSecond.toFixed(0)
      } images/s`,
    );
  }
  const { channels } = recipe.model;
  const { mean, std, workers } = recipe.data;
  const accuracy = await prepareAccuracy(
    device,
    {
      ...{ source: test, batch: 128, channels, mean, std, workers },
      crop: evaluationCropOf(recipe.model, recipe.data),
    },
    trainer.params,
    (params, images) => {
      const own = params as unknown as ClassifierParams;
      return logitsOf(own, classifierFeatures(own, classifier, images));
    },
  );
  const { top1 } = await accuracy.measure();
  accuracy.destroy();
  trainer.destroy();
  return top1;
}
