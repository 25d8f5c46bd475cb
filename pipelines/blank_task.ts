/**
 * Tasks of recipes on blank samples, with blank parameters: what their plans are made of is all there,
 * and nothing is read or drawn.
 *
 * @module
 */
import type { ClipBatch } from "../data/clips/loader.ts";
import type { ClipSource } from "../data/clips/find.ts";
import type { ImageBatch } from "../data/loader.ts";
import type { MaskBatch } from "../data/masks/loader.ts";
import type { MaskSource } from "../data/masks/source.ts";
import type { ImageSource } from "../data/source.ts";
import type { ThingBatch } from "../data/things/loader.ts";
import type { ThingSource } from "../data/things/source.ts";
import type { Initializer } from "../src/init.ts";
import { type Autoencoder, autoencoder } from "../src/models/autoencoder.ts";
import { initClassifier } from "../src/models/classifier.ts";
import { initMaskRcnn } from "../src/models/mask_rcnn.ts";
import { initSegmenter } from "../src/models/segmenter.ts";
import type { Params } from "../src/optim.ts";
import { type Shape, sizeOf, zeros } from "../src/tensor.ts";
import { finetuneStages, finetuneTask } from "./finetune.ts";
import { classifierOf, type FinetuneRecipe } from "./finetune_recipe.ts";
import { pretrainStages, taskOf } from "./pretrain.ts";
import { detectStages, detectTask } from "./detect/finetune.ts";
import { detectorOf, type DetectRecipe, isOfThings } from "./detect/recipe.ts";
import { segmentStages, segmentTask } from "./segment/finetune.ts";
import { isOfMasks, segmenterOf, type SegmentRecipe } from "./segment/recipe.ts";
import type { Recipe } from "./recipe.ts";
import { pipe } from "./stage.ts";
import type { Task } from "./train.ts";
import { videoFinetuneStages, videoFinetuneTask } from "./video/finetune.ts";
import { videoClassifierOf, type VideoFinetuneRecipe } from "./video/finetune_recipe.ts";
import { videoAutoencoder, videoStages } from "./video/pretrain.ts";
import { isVideo, type VideoRecipe } from "./video/recipe.ts";

/** Any recipe of a whole model. */
export type AnyRecipe =
  | Recipe
  | VideoRecipe
  | FinetuneRecipe
  | VideoFinetuneRecipe
  | SegmentRecipe
  | DetectRecipe;

const BLANK: Initializer = { uniform: (shape) => zeros(shape), normal: (shape) => zeros(shape) };
const IMAGES: ImageSource = { kind: "files", files: [], length: 1 };
const CLIPS = { files: [], length: 1 } as unknown as ClipSource;
const THINGS = { images: [], length: 1, categories: [] } as unknown as ThingSource;
const MASKS: MaskSource = { kind: "masks", images: [], masks: [], root: "", length: 1 };

/**
 * The task of a recipe.
 *
 * @param classes Of a recipe of fine-tuning.
 */
export function blankTask(recipe: AnyRecipe, classes: number): Task<Params, Params> {
  const task = !("pretrained" in recipe)
    ? blankAutoencoder(recipe)
    : isOfMasks(recipe)
    ? blankSegmenter(recipe as SegmentRecipe, classes)
    : isOfThings(recipe)
    ? blankDetector(recipe as DetectRecipe, classes)
    : blankClassifier(recipe as FinetuneRecipe | VideoFinetuneRecipe, classes);
  return task as unknown as Task<Params, Params>;
}

function blankAutoencoder(recipe: Recipe | VideoRecipe) {
  const model: Pick<Autoencoder<Params>, "initWith"> = isVideo(recipe)
    ? videoAutoencoder(recipe)
    : autoencoder(recipe.model) as Autoencoder<never>;
  const params = model.initWith(BLANK);
  if (!isVideo(recipe)) {
    const decodeData = endless(blankImages(recipe, recipe.model));
    return taskOf(recipe, { ...pretrainStages(recipe, IMAGES), decodeData }, params, 1);
  }
  const decodeData = endless(blankClips(recipe, recipe.model));
  return taskOf(recipe, { ...videoStages(recipe, CLIPS), decodeData }, params, 1);
}

function blankClassifier(recipe: FinetuneRecipe | VideoFinetuneRecipe, classes: number) {
  if (!isOfFrames(recipe)) {
    const settings = classifierOf(recipe, classes);
    const params = initClassifier(settings, BLANK);
    const { mix } = finetuneStages(recipe, settings, IMAGES);
    const batches = pipe(endless(blankImages(recipe, recipe.model)), mix);
    return { ...finetuneTask(recipe, params, { source: IMAGES, classes }), batches };
  }
  const settings = videoClassifierOf(recipe, classes);
  const params = initClassifier(settings, BLANK);
  const { mix } = videoFinetuneStages(recipe, settings, CLIPS);
  const batches = pipe(endless(blankClips(recipe, recipe.model)), mix);
  return { ...videoFinetuneTask(recipe, params, { source: CLIPS, classes }), batches };
}

function blankSegmenter(recipe: SegmentRecipe, named: number) {
  const classes = recipe.data.classes ?? named;
  const settings = segmenterOf(recipe, classes);
  const { draw } = segmentStages(recipe, settings, MASKS);
  const { model: { imageSize }, batch: { micro } } = recipe;
  const blank = (): MaskBatch => ({
    ...blankImages(recipe, recipe.model)(),
    labels: new Uint32Array(micro * sizeOf(imageSize)),
  });
  const params = initSegmenter(settings, BLANK);
  return {
    ...segmentTask(recipe, params, { source: MASKS, classes }),
    batches: pipe(endless(blank), draw),
  };
}

function blankDetector(recipe: DetectRecipe, classes: number) {
  const settings = detectorOf(recipe, classes);
  const { draw } = detectStages(recipe, settings, THINGS);
  const { model: { imageSize }, data: { mostThings: M }, batch: { micro } } = recipe;
  const blank = (): ThingBatch => ({
    ...blankImages(recipe, recipe.model)(),
    filled: new Float32Array(micro * 2).fill(32),
    boxes: new Float32Array(micro * M * 4),
    classes: new Uint32Array(micro * M).fill(classes),
    masks: new Uint32Array(micro * M * sizeOf(imageSize) / 32),
  });
  const params = initMaskRcnn(settings, BLANK);
  return {
    ...detectTask(recipe, params, { source: THINGS, classes }),
    batches: pipe(endless(blank), draw),
  };
}

function isOfFrames(recipe: FinetuneRecipe | VideoFinetuneRecipe): recipe is VideoFinetuneRecipe {
  return "frames" in recipe.model;
}

function endless<Batch>(batch: () => Batch): () => AsyncGenerator<Batch, void, void> {
  return async function* () {
    while (true) yield await Promise.resolve(batch());
  };
}

interface Sizes {
  readonly imageSize: Shape;
  readonly channels: number;
}

function blankImages(
  { batch: { micro } }: Pick<AnyRecipe, "batch">,
  { imageSize, channels }: Sizes,
) {
  return (): ImageBatch => ({
    images: new Float32Array(micro * sizeOf(imageSize) * channels),
    ...facts(micro),
  });
}

function blankClips(
  { batch: { micro } }: Pick<Recipe, "batch">,
  { imageSize: [height, width], frames }: Sizes & { readonly frames: number },
) {
  const shape = [micro, frames, height, width, 3] as const;
  return (): ClipBatch => ({
    ...{ clips: new Uint8Array(sizeOf(shape)), shape, names: [], padded: 0 },
    ...facts(micro),
  });
}

function facts(micro: number) {
  const [indices, labels] = [new Uint32Array(micro), new Int32Array(micro)];
  return {
    ...{ indices, labels, position: micro, epoch: 0 },
    ...{ skipped: new Map<string, string>(), warnings: new Set<string>() },
  };
}
