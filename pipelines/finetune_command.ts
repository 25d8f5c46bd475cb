/**
 * `deno task finetune`: from a pretrained checkpoint and labelled images to a classifier.
 *
 * @module
 */
import { openDevice } from "../src/device.ts";
import { classifierFeatures, type ClassifierParams, logitsOf } from "../src/models/classifier.ts";
import type { Params } from "../src/optim.ts";
import { prepareAccuracy } from "./accuracy.ts";
import { describeModel } from "./checkpoints.ts";
import { finetuneTask, initialClassifier } from "./finetune.ts";
import {
  classifierOf,
  evaluationCropOf,
  type FinetuneRecipe,
  validateFinetune,
} from "./finetune_recipe.ts";
import { labelledImages } from "./labelled.ts";
import { finetuneDetector } from "./detect/finetune_command.ts";
import { completeDetect, type DetectRecipe, isOfThings, validateDetect } from "./detect/recipe.ts";
import { checkContinues } from "./recipe.ts";
import { complete, loadInitial, requestFromCheckpoint } from "./from_checkpoint.ts";
import { findAnyFinetuneRecipe, finetuneRecipes } from "./recipes/mod.ts";
import { detectRecipes } from "./recipes/detect.ts";
import { segmentRecipes } from "./recipes/segment.ts";
import { videoFinetuneRecipes } from "./recipes/video_finetune.ts";
import { finetuneSegmenter } from "./segment/finetune_command.ts";
import {
  completeSegment,
  isOfMasks,
  type SegmentRecipe,
  validateSegment,
} from "./segment/recipe.ts";
import {
  checkPlaces,
  ofParts,
  openNotes,
  RUN_OPTIONS,
  type RunRequest,
  runTraining,
  wordsOf,
} from "./training_command.ts";
import { parseWords, recipeLines, UsageError } from "./usage.ts";
import { finetuneVideo } from "./video/finetune_command.ts";
import {
  completeClips,
  isOfClips,
  validateVideoFinetune,
  type VideoFinetuneRecipe,
} from "./video/finetune_recipe.ts";

const HELP =
  `Fine-tune a pretrained encoder to tell classes apart, of images, of videos, of pixels or of things.

  deno task finetune [recipe] --checkpoint F --data DIR [options] [field.path=value …]

Recipes for images:
${recipeLines(finetuneRecipes)}
Recipes for videos, which want a model of clips:
${recipeLines(videoFinetuneRecipes)}
Recipes of segmentation, for images with masks, which want an MCMAE:
${recipeLines(segmentRecipes)}
Recipes of detection, for images with annotated things, which want an MCMAE of patches 4,2,2:
${recipeLines(detectRecipes)}

Options:
  --checkpoint F Pretrained model: .safetensors of this project, or a published .pth
  --data DIR     Labelled images: class folders (in train/ and val/, or not), a list file with
                 labels, tar shards or IDX files. Labelled videos: class folders, a list file, or the
                 annotations of Kinetics or Something-Something; bundled:motions. Images with
                 masks: images/ and masks/ (or annotations/, labels/), with train/ and val/ or not;
                 ADE20K's or Pascal VOC's folder; bundled:scenes. Images with things: COCO's folder,
                 or instances.json beside images/, in train/ and val/ or not; bundled:scenes
  --out DIR      Where to write (default runs/<recipe>, then runs/<recipe>-2, …)
  --steps N      Stop after N optimizer steps
  --seed N       Another draw of the head, crops, mixes and paths
  --resume       Continue the run in --out (default: the recipe's latest)
  --profile N    Time N steps by stage and op, and print where the time goes
  --decoder NAME What decodes videos: node-av, which comes with the project, or ffmpeg
  --help

The model's sizes, and the mean and deviation of its images, come from the checkpoint. Fields of
the recipe, for example:
  memory.recompute=blocks            Less memory, more time; deno task plan tells how much memory
  memory.activations=f16             Activations in half precision; the adapter must have shader-f16
  model.imageSize=384,384            Positions are interpolated
  model.pooling=token                The head takes the first token, not the mean
  model.dropPath=0.2                 Stochastic depth
  model.heads=4                      Where a checkpoint does not tell them
  optimizer.layerDecay=0.75          Factor on the rate from a layer to the one below
  augment.randAugment=null augment.colorJitter=0.4
  mix.mixupAlpha=0 mix.cutmixAlpha=0 mix.smoothing=0.1
  data.valShare=0.1                  Hold images out to validate on (or data.valPath=DIR)
  data.cropPct=1                     Evaluate on whole images, as small ones want
  optimizer.emaDecay=0.9999          Keep a moving average of the parameters too
Of videos:
  model.frames=8                     Positions are computed anew
  data.sampling=segments             One frame of each of as many equal parts, as for SSv2
  data.stride=4                      Frames from one to the next, for data.sampling=dense
  data.root=DIR                      Where the paths of an annotation begin
  data.cache=DIR data.shortSide=320  Keep decoded, smaller videos
  data.crop.flip=false               Where classes tell left from right
  data.still=true                    The single-frame control: each clip shows its middle frame
  augment.repeats=2                  Views of each clip; batch.micro counts views, batch.effective clips
Of segmentation:
  data.classes=5                     Where no classes.txt names them, a line each
  data.ignoreIndex=255               Label of pixels that count for nothing
  data.reduceZeroLabel=true          0 is ignored too, and classes begin at 1, as in ADE20K
  data.resize.long=2048 data.resize.short=512   What images are made to fit into (default their size)
  data.resize.ratio=0.5,2            Factors on it, drawn for each training image
  data.categoryShare=0.75            Largest share of a class in a crop
  model.headChannels=512             Width of UPerNet's maps
  optimizer.rates=backbone.*:0       Train the heads alone
Of detection:
  model.imageSize=512,512            Multiples of 32; smaller images are filled up
  data.jitter=0.5,1.5                Factors on the size that fits; null for the edges below
  data.shorter=640,672,704 data.longer=1024   Of the shorter edge, one of them; of the other, at most
  data.mostThings=50                 Largest ones that an image is taken to show
  model.windowSize=7 model.shift=true   The paper's windows, instead of the published code's
  model.backbone=vitdet              A pyramid of the last map, as in the second published code
  model.globalBlocks=0,3             Blocks of stage 3 that attend to all tokens
  sampling.regions=128               Regions of an image that the heads learn from

Examples:
  deno task finetune --checkpoint runs/quickstart/checkpoint.safetensors --data flowers
  deno task finetune finetune_imagenet --checkpoint mcmae_base.pth --data imagenet
  deno task finetune video_finetune --checkpoint F --data bundled:motions
  deno task finetune segment --checkpoint F --data DIR data.classes=3
  deno task finetune detect --checkpoint F --data DIR`;

/**
 * Runs the command.
 *
 * @returns The exit code.
 */
export async function finetuneCommand(args: readonly string[]): Promise<number> {
  const request = await parse(args);
  if (!request) {
    console.log(HELP);
    return 0;
  }
  if (request.resume) checkContinues(request.base, request.recipe);
  if (hasMasks(request)) return await finetuneSegmenter(request);
  if (hasThings(request)) return await finetuneDetector(request);
  return hasClips(request) ? await finetuneVideo(request) : await finetuneImages(request);
}

async function finetuneImages(request: RunRequest<FinetuneRecipe>): Promise<number> {
  const { recipe, out } = request;
  const { data, model } = recipe;
  const images = await labelledImages(data);
  const { train, val, classes, classNames } = images;
  const classifier = classifierOf(recipe, classes);
  const params = await loadInitial(request, classifier, initialClassifier(recipe, classifier));
  const device = await openDevice();
  const notes = await openNotes(request);
  const { channels } = model;
  return await runTraining({
    ...{ command: "finetune", request, images, device, notes, imageSize: model.imageSize },
    task: finetuneTask(recipe, params, { source: train, classes, onBatch: notes.onBatch }),
    model: describeModel(classifier.encoder, data, classNames),
    facts: { pretrained: recipe.pretrained, classes: String(classes) },
    async watch(trainer) {
      if (!val) return { destroy() {} };
      const { params } = trainer;
      const { batch } = ofParts(recipe, trainer);
      const accuracy = await prepareAccuracy(
        device,
        {
          ...{ source: val, batch: batch.micro, channels, mean: data.mean, std: data.std },
          ...{ workers: data.workers, maxBad: data.maxBad, onBatch: notes.onBatch },
          crop: evaluationCropOf(model, data),
          ...(data.cache && { cache: { folder: data.cache, side: data.cacheSide } }),
        },
        params as unknown as ClassifierParams & Params,
        (params, images) =>
          logitsOf(params, classifierFeatures(params as ClassifierParams, classifier, images)),
      );
      return {
        async validate() {
          const { top1, top5, loss } = await accuracy.measure();
          return { val_loss: loss, val_top1: top1, val_top5: top5 };
        },
        destroy: () => accuracy.destroy(),
      };
    },
    paper: recipe.paper,
    next: () => {
      const { path, valPath, valShare } = data;
      const split = valPath !== null
        ? ` --val ${valPath}`
        : valShare > 0
        ? ` data.valShare=${valShare}`
        : "";
      const best = `${out}/best.safetensors`;
      return `deno task eval classify --checkpoint ${best} --data ${path}${split}`;
    },
  });
}

type Request =
  | RunRequest<FinetuneRecipe>
  | RunRequest<VideoFinetuneRecipe>
  | RunRequest<SegmentRecipe>
  | RunRequest<DetectRecipe>;

function hasMasks(request: Request): request is RunRequest<SegmentRecipe> {
  return isOfMasks(request.recipe);
}

function hasThings(request: Request): request is RunRequest<DetectRecipe> {
  return isOfThings(request.recipe);
}

function hasClips(request: Request): request is RunRequest<VideoFinetuneRecipe> {
  return isOfClips(request.recipe);
}

async function parse(args: readonly string[]): Promise<Request | undefined> {
  const { values, positionals } = parseWords(
    args,
    { ...RUN_OPTIONS, checkpoint: { type: "string" }, decoder: { type: "string" } },
    "see deno task finetune --help",
  );
  if (values.help) return undefined;
  const words = wordsOf(positionals, "finetune");
  const decoder = values.decoder === undefined ? [] : [`data.decoder=${values.decoder}`];
  const isKnown = words.isNamed || !values.resume; // else the folder tells the recipe
  if (decoder.length > 0 && isKnown && !isOfClips(findAnyFinetuneRecipe(words.name))) {
    throw new UsageError(`Option --decoder is for recipes of videos: ${words.name} is of images`);
  }
  // A recipe keeps its kind, whatever fields are changed.
  const request = await requestFromCheckpoint(
    findAnyFinetuneRecipe,
    { ...words, fields: [...decoder, ...words.fields] },
    values,
    async (
      preset,
      checkpoint,
      fields,
    ): Promise<FinetuneRecipe | VideoFinetuneRecipe | SegmentRecipe | DetectRecipe> => {
      if (isOfMasks(preset)) return await completeSegment(preset, checkpoint, fields);
      if (isOfThings(preset)) return await completeDetect(preset, checkpoint, fields);
      return isOfClips(preset)
        ? await completeClips(preset, checkpoint, fields)
        : await complete(preset, checkpoint, fields);
    },
  ) as Request;
  if (hasMasks(request)) validateSegment(request.recipe);
  else if (hasThings(request)) validateDetect(request.recipe);
  else if (hasClips(request)) validateVideoFinetune(request.recipe);
  else validateFinetune(request.recipe);
  checkPlaces(request);
  return request;
}
