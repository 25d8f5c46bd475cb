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
import { checkContinues } from "./recipe.ts";
import { loadInitial, requestFromCheckpoint } from "./from_checkpoint.ts";
import { findFinetuneRecipe, finetuneRecipes } from "./recipes/mod.ts";
import {
  checkPlaces,
  openNotes,
  RUN_OPTIONS,
  type RunRequest,
  runTraining,
  wordsOf,
} from "./training_command.ts";
import { parseWords } from "./usage.ts";

const HELP = `Fine-tune a pretrained encoder to tell classes apart.

  deno task finetune [recipe] --checkpoint F --data DIR [options] [field.path=value …]

Recipes:
${finetuneRecipes.map(({ name, source }) => `  ${name.padEnd(18)}${source}`).join("\n")}

Options:
  --checkpoint F Pretrained model: .safetensors of this project, or a published .pth
  --data DIR     Labelled images: class folders (in train/ and val/, or not), a list file with
                 labels, tar shards or IDX files
  --out DIR      Where to write (default runs/<recipe>, then runs/<recipe>-2, …)
  --steps N      Stop after N optimizer steps
  --seed N       Another draw of the head, crops, mixes and paths
  --resume       Continue the run in --out (default: the recipe's latest)
  --profile N    Time N steps by stage and op, and print where the time goes
  --help

The model's sizes, and the mean and deviation of its images, come from the checkpoint. Fields of
the recipe, for example:
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

Examples:
  deno task finetune --checkpoint runs/quickstart/checkpoint.safetensors --data flowers
  deno task finetune finetune_imagenet --checkpoint mcmae_base.pth --data imagenet`;

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
  const { recipe, base, out, resume } = request;
  if (resume) checkContinues(base, recipe);
  const { data, model, batch } = recipe;
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
    async watch({ params }) {
      if (!val) return { destroy() {} };
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

async function parse(args: readonly string[]): Promise<RunRequest<FinetuneRecipe> | undefined> {
  const { values, positionals } = parseWords(
    args,
    { ...RUN_OPTIONS, checkpoint: { type: "string" } },
    "see deno task finetune --help",
  );
  if (values.help) return undefined;
  const words = wordsOf(positionals, "finetune");
  const request = await requestFromCheckpoint(findFinetuneRecipe, words, values);
  validateFinetune(request.recipe);
  checkPlaces(request);
  return request;
}
