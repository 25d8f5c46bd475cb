/**
 * `deno task pretrain`: from arguments to a finished run.
 *
 * @module
 */
import { openDevice } from "../src/device.ts";
import { describeModel } from "./checkpoints.ts";
import { openImages } from "./images.ts";
import { preparePanels } from "./panels.ts";
import { pretrainTask } from "./pretrain.ts";
import { BUNDLED, checkContinues, type Recipe, validate } from "./recipe.ts";
import { findPretrainRecipe, recipes } from "./recipes/mod.ts";
import { videoRecipes } from "./recipes/video.ts";
import { FILES } from "./run_folder.ts";
import {
  checkPlaces,
  ofParts,
  openNotes,
  requestRun,
  RUN_OPTIONS,
  type RunRequest,
  runTraining,
  wordsOf,
} from "./training_command.ts";
import { parseWords, recipeLines, UsageError } from "./usage.ts";
import { prepareValidation } from "./validation.ts";
import { pretrainVideo } from "./video/pretrain_command.ts";
import { isVideo, validateVideo, type VideoRecipe } from "./video/recipe.ts";

const HELP = `Pretrain a masked autoencoder on images or videos.

  deno task pretrain [recipe] [options] [field.path=value …]

With nothing else, it trains a tiny MCMAE on the photos that come with the project.

Recipes for images:
${recipeLines(recipes)}
Recipes for videos:
${recipeLines(videoRecipes)}

Options:
  --data DIR     Your images: a folder (of classes, of train/ and val/, or neither), a list file,
                 tar shards or IDX files. Your videos: a folder (of classes or not), a list file, or
                 the annotations of Kinetics or Something-Something
  --out DIR      Where to write (default runs/<recipe>, then runs/<recipe>-2, …)
  --steps N      Stop after N optimizer steps
  --seed N       Another draw of parameters, crops and masks
  --resume       Continue the run in --out (default: the recipe's latest)
  --profile N    Time N steps by stage and op, and print where the time goes
  --dense        Compute stages 1 and 2 on whole images or clips; same numbers, more work
  --decoder NAME What decodes videos: node-av, which comes with the project, or ffmpeg
  --help

Fields of the recipe, for example:
  batch.micro=8 batch.effective=64   Images the device holds at once; images an update
                                     (batch.micro alone sets both: no accumulation)
  memory.recompute=blocks            Less memory, more time; deno task plan tells how much memory
  memory.activations=f16             Activations in half precision; the adapter must have shader-f16
  model.imageSize=160,224            Height and width, multiples of the stride: the product of patchSizes
  model.patchSizes=4,2,1             Smaller tokens for small images
  model.kernelSize=7                 Depthwise kernels of 5, 7 or 9 (Table 5)
  model.maskedConvolution=false      Ablations: also model.masking=token, model.multiScaleDecoder=false
  optimizer.blr=3e-4                 Rate at an effective batch of 256
  optimizer.rates=patch_embed*:0,blocks1.*:0.5
                                     Factors on the rate by parameter, the first match counts; 0 freezes
  optimizer.emaDecay=0.999           Keep a moving average of the parameters too
  checkpoint.every=50                Optimizer steps between two checkpoints (the last
                                     checkpoint.keep=2 and the best are kept)
  report.every=500                   Optimizer steps between two reports
  faults.policy=rewind               At a loss that is not finite: stop, skip or rewind
  data.valShare=0.05                 Hold images out to validate on (or data.valPath=DIR)
  data.cache=DIR data.cacheSide=256  Keep decoded, smaller images
Of videos:
  model.frames=16 data.stride=4      Frames of a clip, and from one to the next in the video
  data.sampling=segments             One frame of each of as many equal parts, as for SSv2
  data.root=DIR                      Where the paths of an annotation begin
  data.cache=DIR data.shortSide=240  Keep decoded, smaller videos
  model.temporalKernel=3             Time slots that a depthwise convolution spans
  model.masking=random               Over space and time; tube removes a cell in all time slots

Examples:
  deno task pretrain
  deno task pretrain mcmae_small --data ~/images batch.micro=16 batch.effective=256
  deno task pretrain --resume schedule.epochs=72
  deno task pretrain video_quickstart
  deno task pretrain videomcmae_small_k400 --data ~/videos batch.micro=4 batch.effective=64`;

/**
 * Runs the command.
 *
 * @returns The exit code.
 */
export async function pretrainCommand(args: readonly string[]): Promise<number> {
  const request = await parse(args);
  if (!request) {
    console.log(HELP);
    return 0;
  }
  if (request.resume) checkContinues(request.base, request.recipe);
  return hasClips(request) ? await pretrainVideo(request) : await pretrainImages(request);
}

async function pretrainImages(request: RunRequest<Recipe>): Promise<number> {
  const { recipe, out } = request;
  const images = await openImages(recipe.data); // looks for mistakes before the device
  const { train, val = train } = images;
  const device = await openDevice();
  const notes = await openNotes(request);
  const { model, data } = recipe;
  return await runTraining({
    ...{ command: "pretrain", request, images, device, notes, imageSize: model.imageSize },
    task: pretrainTask(recipe, train, notes.onBatch),
    model: describeModel(model, data),
    async watch(trainer) {
      const { params } = trainer;
      const panels = await preparePanels(device, recipe, params, val, out, notes.onBad);
      const validate = images.val &&
        await prepareValidation(device, ofParts(recipe, trainer), params, val, notes.onBad);
      return { draw: panels.draw, validate, destroy: () => panels.destroy() };
    },
    files: [[FILES.picture, "original, masked, reconstructed"]],
    next: () => {
      if (data.path === BUNDLED) return "deno task pretrain --data DIR   (your own images)";
      const more = recipe.schedule.steps === null ? "schedule.epochs=N" : "--steps N";
      return `deno task pretrain --resume --out ${out} ${more}   (train on)`;
    },
  });
}

type Request = RunRequest<Recipe> | RunRequest<VideoRecipe>;

function hasClips(request: Request): request is RunRequest<VideoRecipe> {
  return isVideo(request.recipe);
}

async function parse(args: readonly string[]): Promise<Request | undefined> {
  const { values, positionals } = parseWords(
    args,
    { ...RUN_OPTIONS, dense: { type: "boolean" }, decoder: { type: "string" } },
    "see deno task pretrain --help",
  );
  if (values.help) return undefined;
  const words = wordsOf(positionals, "quickstart");
  const { model: { kind } } = findPretrainRecipe(words.name);
  const isKnown = words.isNamed || !values.resume; // else the folder tells the recipe
  if (values.dense && isKnown && kind !== "mcmae" && kind !== "videomcmae") {
    throw new UsageError(
      `Option --dense is for MCMAE recipes: ${words.name} has no stages 1 and 2`,
    );
  }
  if (values.decoder !== undefined && isKnown && !kind.startsWith("video")) {
    throw new UsageError(`Option --decoder is for recipes of videos: ${words.name} is of images`);
  }
  const options = [
    ...(values.dense ? ["model.evaluation=dense"] : []),
    ...(values.decoder === undefined ? [] : [`data.decoder=${values.decoder}`]),
  ];
  const fields = [...options, ...words.fields];
  // A recipe keeps its kind, whatever fields are changed.
  const request = await requestRun(findPretrainRecipe, { ...words, fields }, values) as Request;
  if (hasClips(request)) validateVideo(request.recipe);
  else validate(request.recipe);
  checkPlaces(request);
  return request;
}
