/**
 * `deno task eval linprobe`: from a pretrained checkpoint and labelled images to the accuracy of one
 * linear layer.
 *
 * @module
 */
import type { ImageSource } from "../data/source.ts";
import { type Device, openDevice } from "../src/device.ts";
import { initializer } from "../src/init.ts";
import { initClassifier } from "../src/models/classifier.ts";
import type { Params } from "../src/optim.ts";
import { key } from "../src/random.ts";
import { type Accuracy, prepareAccuracy } from "./accuracy.ts";
import { describeModel } from "./checkpoints.ts";
import { startCount } from "./count.ts";
import type { LabelledFeatures } from "./eval/knn.ts";
import { percent, rounded } from "./eval/result.ts";
import { classifierOf, evaluationCropOf } from "./finetune_recipe.ts";
import { complete, loadInitial, requestFromCheckpoint } from "./from_checkpoint.ts";
import { inferInOrder, prepareInference } from "./inference.ts";
import { type LabelledImages, labelledImages } from "./labelled.ts";
import { linprobeTask, type ProbedParams, probedScores, probeFeatures } from "./linprobe.ts";
import { type ProbeRecipe, validateProbe } from "./probe_recipe.ts";
import { startProgress } from "./progress.ts";
import { checkContinues } from "./recipe.ts";
import { findProbeRecipe, probeRecipes } from "./recipes/mod.ts";
import { table } from "./table.ts";
import {
  checkPlaces,
  openNotes,
  RUN_OPTIONS,
  type RunRequest,
  runTraining,
  wordsOf,
} from "./training_command.ts";
import { classifierFeatures, type ClassifierParams } from "../src/models/classifier.ts";
import { totalSteps } from "./pretrain.ts";
import { parseWords, recipeLines, UsageError } from "./usage.ts";

const HELP = `Train one linear layer on the features of a frozen encoder.

  deno task eval linprobe [recipe] --checkpoint F --data DIR [options] [field.path=value …]

As published: BatchNorm without gain and bias, then a linear layer, LARS; training images are cropped
anew in every epoch, so each step runs the encoder. --fast trains on features of evaluation crops,
computed once: nearly the same figure, many times sooner.

Recipes:
${recipeLines(probeRecipes)}

Options:
  --checkpoint F Pretrained model: .safetensors of this project, or a published .pth
  --data DIR     Labelled images with the splits train and val, or:
  --val DIR      Images to measure on
  --fast         Train on cached features; keeps nothing
  --out DIR      Where to write (default runs/<recipe>, then runs/<recipe>-2, …)
  --steps N      Stop after N optimizer steps
  --seed N       Another draw of the layer, crops and order
  --resume       Continue the run in --out (default: the recipe's latest)
  --profile N    Time N steps by stage and op, and print where the time goes
  --help

Fields of the recipe, for example:
  model.pooling=token                The first token after the encoder's own norm, not the mean
  optimizer.blr=0.1                  Rate at an effective batch of 256
  schedule.epochs=90 batch.micro=64
  data.valShare=0.2                  Hold images out to measure on
  data.cropPct=1                     Evaluate on whole images, as small ones want

The last line on stdout is one JSON object, unless the run was interrupted.`;

/**
 * Runs the command.
 *
 * @returns The exit code.
 */
export async function linprobe(args: readonly string[]): Promise<number> {
  const asked = await parse(args);
  if (!asked) {
    console.log(HELP);
    return 0;
  }
  const { request, isFast } = asked;
  const { recipe, base, resume } = request;
  if (resume) checkContinues(base, recipe);
  const images = await labelledImages(recipe.data);
  if (!images.val) {
    throw new UsageError(
      `Cannot probe on ${recipe.data.path}: it has no splits train and val; ` +
        "add --val DIR or data.valShare=0.2",
    );
  }
  const settings = classifierOf(recipe, images.classes);
  const drawn = initClassifier(settings, initializer(key(recipe.seed)));
  const params = await loadInitial(request, settings, drawn);
  const device = await openDevice();
  return isFast
    ? await probeFast(device, recipe, images, params)
    : await probePublished(device, request, images, params);
}

async function parse(
  args: readonly string[],
): Promise<{ request: RunRequest<ProbeRecipe>; isFast: boolean } | undefined> {
  const { values, positionals } = parseWords(args, {
    ...RUN_OPTIONS,
    checkpoint: { type: "string" },
    val: { type: "string" },
    fast: { type: "boolean" },
  }, "see deno task eval linprobe --help");
  if (values.help) return undefined;
  const isFast = values.fast ?? false;
  if (isFast && (values.resume || values.out !== undefined || values.profile !== undefined)) {
    throw new UsageError(
      "Option --fast keeps nothing: --out, --resume and --profile do not go with it",
    );
  }
  const words = wordsOf(positionals, "linprobe");
  const fields = [
    ...(values.val === undefined ? [] : [`data.valPath=${values.val}`]),
    ...words.fields,
  ];
  const request = await requestFromCheckpoint(
    ...[findProbeRecipe, { ...words, fields }, values] as const,
    complete,
  );
  validateProbe(request.recipe);
  if (!isFast) checkPlaces(request);
  return { request, isFast };
}

function readingOf({ data, model, batch }: ProbeRecipe) {
  const { channels } = model;
  const { mean, std, workers, maxBad, cache, cacheSide } = data;
  return {
    ...{ channels, mean, std, workers, maxBad, batch: batch.micro },
    crop: evaluationCropOf(model, data),
    ...(cache && { cache: { folder: cache, side: cacheSide } }),
  };
}

async function probePublished(
  device: Device,
  request: RunRequest<ProbeRecipe>,
  images: LabelledImages,
  params: ClassifierParams,
): Promise<number> {
  const { recipe, out } = request;
  const { model, data, paper } = recipe;
  const { train, val, classes, classNames } = images;
  const settings = classifierOf(recipe, classes);
  const notes = await openNotes(request);
  let accuracy: Accuracy | undefined;
  const code = await runTraining({
    ...{
      command: "eval linprobe",
      request,
      images,
      device,
      notes,
      imageSize: model.imageSize,
      paper,
    },
    task: linprobeTask(recipe, params, { source: train, classes, onBatch: notes.onBatch }),
    model: describeModel(settings.encoder, data, classNames),
    facts: { pretrained: recipe.pretrained, classes: String(classes) },
    async watch({ params }) {
      const { measure, destroy } = await prepareAccuracy(
        device,
        { source: val!, ...readingOf(recipe), onBatch: notes.onBatch },
        params as Params,
        (params, images) => probedScores(params as unknown as ProbedParams, settings, images),
      );
      return {
        async validate() {
          accuracy = await measure();
          const { top1, top5, loss } = accuracy;
          return { val_loss: loss, val_top1: top1, val_top5: top5 };
        },
        destroy,
      };
    },
    next: ({ metrics }) => {
      // A run that was finished before has measured then.
      const last = metrics.findLast(({ val_top1 }) => val_top1 !== undefined)!;
      const { val_loss, val_top1, val_top5 } = last;
      accuracy ??= { loss: val_loss!, top1: val_top1!, top5: val_top5!, n: val!.length };
      return `deno task report ${out}`;
    },
  });
  if (code === 0) report(recipe, accuracy!, "published", notes.badFiles.size);
  return code;
}

async function probeFast(
  device: Device,
  recipe: ProbeRecipe,
  { train, val, classes }: LabelledImages,
  params: ClassifierParams,
): Promise<number> {
  const settings = classifierOf(recipe, classes);
  const skipped = new Map<string, string>();
  const { imageSize, channels } = recipe.model;
  const inference = await prepareInference(
    device,
    { batch: recipe.batch.micro, imageSize, channels },
    params as Params,
    (params, images) => ({
      features: classifierFeatures(params as unknown as ClassifierParams, settings, images),
    }),
  );
  const featuresOf = async (source: ImageSource): Promise<LabelledFeatures> => {
    const onProgress = startCount(source.length);
    const [parts, labels]: [Float32Array[], number[]] = [[], []];
    for await (const batch of inferInOrder(inference, { source, ...readingOf(recipe) })) {
      parts.push(batch.values.features);
      labels.push(...batch.labels!);
      for (const [file, reason] of batch.skipped) skipped.set(file, reason);
      onProgress?.(labels.length);
    }
    const features = new Float32Array(parts.reduce((n, { length }) => n + length, 0));
    let at = 0;
    for (const part of parts) {
      features.set(part, at);
      at += part.length;
    }
    return { features, labels: Int32Array.from(labels) };
  };
  const sets = { train: await featuresOf(train), val: await featuresOf(val!), classes };
  inference.destroy();
  const n = sets.train.labels.length;
  const effective = Math.min(recipe.batch.effective, n);
  const capped = { ...recipe, batch: { micro: effective, effective } };
  const bar = startProgress(0, totalSteps(capped, n), capped.batch.effective, 0);
  const { accuracy } = await probeFeatures(
    device,
    recipe,
    sets,
    (group) => bar.update(group.at(-1)!),
  );
  bar.stop();
  if (skipped.size > 0) console.error(`Skipped ${skipped.size} bad files:`);
  for (const [, reason] of skipped) console.error(`  ${reason}`);
  report(recipe, accuracy, "fast", skipped.size);
  return 0;
}

/** The table, and the JSON line. */
function report(
  { pretrained, paper }: ProbeRecipe,
  { top1, top5, n }: Accuracy,
  mode: string,
  skipped: number,
): void {
  const lines = table([
    ["linear probe", mode === "fast" ? "on cached features" : "as published"],
    ["images classified", String(n)],
    ["top-1", percent(top1)],
    ["top-5", percent(top5)],
    ...(paper ? [["top-1 in the paper", `${percent(paper.top1)} (${paper.where})`]] : []),
  ]);
  for (const line of lines) console.log(line);
  console.log(JSON.stringify({
    ...{ task: "linprobe", mode, top1: rounded(top1), top5: rounded(top5), n },
    ...(paper && { paper: paper.top1 }),
    ...(skipped > 0 && { skipped }),
    checkpoint: pretrained,
  }));
}
