/**
 * `deno task pretrain`: from arguments to a finished run.
 *
 * @module
 */
import { resolve } from "node:path";
import { type Device, MemoryError, openDevice } from "../src/device.ts";
import type { Params } from "../src/optim.ts";
import { readCheckpoint, tidy, writeModels } from "./checkpoints.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { fit, type Fitted } from "./fit.ts";
import { type ImageSplits, openImages } from "./images.ts";
import { onInterrupt } from "./interrupt.ts";
import { preparePanels } from "./panels.ts";
import { type MaskedBatch, peakRate, pretrainTask } from "./pretrain.ts";
import { profileText } from "./profile.ts";
import { startProgress } from "./progress.ts";
import { BUNDLED, checkContinues, override, type Recipe, validate } from "./recipe.ts";
import { findRecipe, recipes } from "./recipes/mod.ts";
import { writeReport } from "./report/report.ts";
import {
  FILES,
  newRunFolder,
  oldRunFolder,
  readBadFiles,
  readRecipe,
  takeRunFolder,
  writeRecipe,
} from "./run_folder.ts";
import { countParameters, type Ended, runInfo, writeRunInfo } from "./run_info.ts";
import { initialWeights, prepare, type Task, type Trainer } from "./train.ts";
import { parseWords, UsageError } from "./usage.ts";
import { prepareValidation } from "./validation.ts";

const HELP = `Pretrain a masked autoencoder on images.

  deno task pretrain [recipe] [options] [field.path=value …]

With nothing else, it trains a tiny MCMAE on the photos that come with the project.

Recipes:
${recipes.map(({ name, source }) => `  ${name.padEnd(18)}${source}`).join("\n")}

Options:
  --data DIR     Your images: a folder (of classes, of train/ and val/, or neither), a list file,
                 tar shards or IDX files
  --out DIR      Where to write (default runs/<recipe>, then runs/<recipe>-2, …)
  --steps N      Stop after N optimizer steps
  --seed N       Another draw of parameters, crops and masks
  --resume       Continue the run in --out (default: the recipe's latest)
  --profile N    Time N steps by stage and op, and print where the time goes
  --dense        Compute stages 1 and 2 on whole images; same numbers, more work
  --help

Fields of the recipe, for example:
  batch.micro=8 batch.effective=64   Images the device holds at once; images an update
                                     (batch.micro alone sets both: no accumulation)
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

Examples:
  deno task pretrain
  deno task pretrain mcmae_small --data ~/images batch.micro=16 batch.effective=256
  deno task pretrain --resume schedule.epochs=72`;

type PretrainTask = Task<Params, MaskedBatch>;

/** What the arguments ask for. */
interface Request {
  readonly recipe: Recipe;
  readonly out: string;
  readonly resume: boolean;
  /** The recipe before any field was changed. */
  readonly base: Recipe;
  /** Steps to time; undefined unless asked for. */
  readonly profile?: number;
}

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
  const { recipe, out, resume, base, profile } = request;
  if (resume) checkContinues(base, recipe);
  using held = new DisposableStack();
  if (resume) held.use(await takeRunFolder(out));
  const images = await openImages(recipe.data); // looks for mistakes before the device
  const device = await openDevice();
  const badFiles = resume ? await readBadFiles(out) : new Map<string, string>();
  const onBad = (file: string, reason: string) => void badFiles.set(file, reason);
  const warnings = new Set<string>();
  const warn = (message: string) => {
    if (!warnings.has(message)) console.error(message);
    warnings.add(message);
  };
  const task = pretrainTask(recipe, images.train, (batch) => {
    for (const [file, reason] of batch.skipped) onBad(file, reason);
    for (const message of batch.warnings) warn(message);
  });
  const checkpoint = resume ? await readCheckpoint(out, initialWeights(task), warn) : undefined;
  const start = checkpoint?.step ?? 0;
  if (start > task.steps) {
    throw new UsageError(
      `Cannot resume ${out} to step ${task.steps}: it has done ${start}; raise --steps`,
    );
  }
  const data = fingerprintOf(images.train);
  if (checkpoint && checkpoint.data !== data) {
    warn("These are not the images that the run began with: it goes on with others");
  }
  const advising = adviseOn(task);
  const trainer = await advising(() => prepare(device, task));
  if (checkpoint) trainer.load(checkpoint.weights);
  if (resume && !checkpoint) console.log("The run has saved nothing yet: starting anew");
  describe(device, recipe, images, task, trainer, start, out);

  if (!resume) held.use(await takeRunFolder(out));
  await writeRecipe(out, recipe);
  if (resume) await tidy(out, start, checkpoint?.data === data);
  if (checkpoint) await writeModels(out, checkpoint); // a killed run may not have come to it
  const about = runInfo(device, recipe, images, task, trainer);
  const writeAbout = (ended?: Ended) =>
    writeRunInfo(out, about, trainer, { warnings: [...warnings], ended });
  await writeAbout();
  const { train, val = train } = images;
  const panels = await advising(() =>
    preparePanels(device, recipe, trainer.params, val, out, onBad)
  );
  const validate = images.val &&
    await advising(() => prepareValidation(device, recipe, trainer.params, val, onBad));
  const interrupt = onInterrupt();
  const bar = startProgress(start, task.steps, recipe.batch.effective, trainer.peakBytes);
  try {
    const fitted = await fit(task, trainer, {
      ...{ folder: out, recipe, images: train.length, checkpoint, data, badFiles, profile },
      ...{ validate, draw: panels.draw, progress: bar, signal: interrupt.signal, warn },
      onProfile: async () => {
        await writeAbout();
        if (profile !== undefined) console.error(`\n${profileText(trainer.profiled)}`);
      },
      report: async (ended) => {
        await writeAbout(ended);
        await writeReport(out);
      },
    });
    bar.stop();
    if (fitted.place.step < task.steps) {
      console.log(
        `\nStopped at step ${fitted.place.step} of ${task.steps}, saved; continue with ` +
          `deno task pretrain --resume --out ${out}`,
      );
      return interrupt.code();
    }
    summarise(recipe, fitted, start, out);
  } finally {
    bar.stop();
    interrupt.release();
    panels.destroy();
    report(badFiles);
  }
  return 0;
}

/** Adds what to change where memory does not suffice. */
function adviseOn({ microBatch }: PretrainTask) {
  return async <Result>(act: () => Promise<Result>): Promise<Result> => {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      throw new MemoryError(
        `${error.message}; lower batch.micro = ${microBatch} (batch.effective may stay), ` +
          "model.imageSize or the model",
        { cause: error },
      );
    }
  };
}

async function parse(args: readonly string[]): Promise<Request | undefined> {
  const { values, positionals } = parseWords(args, {
    data: { type: "string" },
    out: { type: "string" },
    steps: { type: "string" },
    seed: { type: "string" },
    profile: { type: "string" },
    resume: { type: "boolean" },
    dense: { type: "boolean" },
  }, "see deno task pretrain --help");
  if (values.help) return undefined;
  const names = positionals.filter((word) => !word.includes("="));
  if (names.length > 1) throw new UsageError(`Expected one recipe, got ${names.join(" and ")}`);
  const named = findRecipe(names[0] ?? "quickstart");
  const out = values.resume
    ? await oldRunFolder(named.name, values.out)
    : await newRunFolder(named.name, values.out);
  const base = values.resume ? await readRecipe(out) : named;
  if (names.length === 1 && base.name !== named.name) {
    throw new UsageError(`Cannot resume ${out} as ${named.name}: it is a run of ${base.name}`);
  }
  const options = [
    ...(values.data === undefined ? [] : [`data.path=${values.data}`]),
    ...(values.steps === undefined ? [] : [`schedule.steps=${values.steps}`]),
    ...(values.seed === undefined ? [] : [`seed=${values.seed}`]),
    ...(values.dense ? ["model.evaluation=dense"] : []),
  ];
  if (values.dense && base.model.kind !== "mcmae") {
    throw new UsageError(`Option --dense is for MCMAE recipes: ${base.name} has no stages 1 and 2`);
  }
  const fields = positionals.filter((word) => word.includes("="));
  // A run keeps its effective batch, whatever the device holds at once.
  const kept = values.resume ? [`batch.effective=${base.batch.effective}`] : [];
  const recipe = override(base, [...kept, ...options, ...fields]);
  validate(recipe);
  const { path } = recipe.data;
  const isInside = path !== null && `${resolve(out)}/`.startsWith(`${resolve(path)}/`);
  if (!values.resume && isInside) {
    throw new UsageError(`Cannot write to ${out}: its pictures would become images of ${path}`);
  }
  const profile = values.profile === undefined ? undefined : Number(values.profile);
  if (profile !== undefined && !(Number.isSafeInteger(profile) && profile > 0)) {
    throw new UsageError(`Option --profile expects a number of steps, got ${values.profile}`);
  }
  return { recipe, out, resume: values.resume ?? false, base, profile };
}

const count = new Intl.NumberFormat("en");

/** Says what is about to happen, before step one. */
function describe(
  device: Device,
  recipe: Recipe,
  { train, val }: ImageSplits,
  task: PretrainTask,
  { peakBytes, dispatches }: Trainer<Params>,
  start: number,
  out: string,
): void {
  const { micro, effective } = recipe.batch;
  const { steps } = task;
  const { trained, frozen } = countParameters(task);
  const lines = {
    recipe: `${recipe.name} — ${recipe.source}`,
    adapter: device.name,
    images: `${count.format(train.length)} of ${
      recipe.data.path === BUNDLED ? "the bundled photos" : recipe.data.path
    } at ${recipe.model.imageSize.join(" × ")}${
      val ? `, ${count.format(val.length)} held out` : ""
    }`,
    parameters: `${count.format(trained)} trained, ${count.format(frozen)} frozen`,
    memory: `${(peakBytes / 2 ** 20).toFixed(0)} MiB on the device at its peak`,
    dispatches: `${count.format(dispatches)} a step`,
    batch: `${effective} effective = ${micro} × ${effective / micro} micro-batch${
      effective === micro ? "" : "es"
    }`,
    rate: `${peakRate(recipe).toPrecision(3)} = ${recipe.optimizer.blr} × ${effective} / 256`,
    steps: `${start > 0 ? `${start} done of ` : ""}${steps} (${
      (steps * effective / train.length).toFixed(1)
    } epochs)`,
    out,
  };
  for (const [name, text] of Object.entries(lines)) console.log(`${name.padEnd(12)}${text}`);
}

/** Says what came of it. */
function summarise(recipe: Recipe, { losses, metrics }: Fitted, start: number, out: string): void {
  const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
  const span = Math.min(20, Math.ceil(losses.length / 2));
  const [first, last] = [losses.slice(0, span), losses.slice(-span)];
  if (losses.length > 0) {
    console.log(
      `\nLoss: ${mean(first).toFixed(4)} over the first ${span} step${span === 1 ? "" : "s"}, ` +
        `${mean(last).toFixed(4)} over the last ${span}.`,
    );
  }
  const validated = metrics.filter(({ val_loss }) => val_loss !== undefined);
  if (validated.length > 0) {
    const best = validated.reduce((a, b) => b.val_loss! < a.val_loss! ? b : a);
    console.log(
      `Validation loss: ${validated.at(-1)!.val_loss!.toFixed(4)}, ` +
        `at its lowest ${best.val_loss!.toFixed(4)} after step ${best.step}.`,
    );
  }
  if (start > 0 && start === metrics.at(-1)?.step) console.log("There was nothing left to do.");
  console.log(`Wrote to ${out}:`);
  const files = [
    [FILES.report, "how it went, in a browser: look at this first"],
    [FILES.picture, "original, masked, reconstructed"],
    [FILES.checkpoint, "parameters, under PyTorch's names"],
    [FILES.best, `the same where the ${validated.length > 0 ? "validation " : ""}loss was lowest`],
    ...(recipe.optimizer.emaDecay ? [[FILES.ema, "their moving average"]] : []),
    [`${FILES.states}/`, "what --resume needs"],
    [FILES.metrics, "a line a step; events.out.tfevents… has the same for TensorBoard"],
    [FILES.recipe, "the settings"],
  ];
  for (const [name, what] of files) console.log(`  ${name.padEnd(24)}${what}`);
  const more = recipe.schedule.steps === null ? "schedule.epochs=N" : "--steps N";
  const next = recipe.data.path === BUNDLED
    ? "deno task pretrain --data DIR"
    : `deno task pretrain --resume --out ${out} ${more}`;
  console.log(
    `Next: ${next}${recipe.data.path === BUNDLED ? "   (your own images)" : "   (train on)"}`,
  );
}

/** Names the files that could not be used. */
function report(bad: ReadonlyMap<string, string>): void {
  if (bad.size === 0) return;
  console.error(`\nSkipped ${bad.size} bad file${bad.size === 1 ? "" : "s"}:`);
  for (const [, reason] of [...bad].sort()) console.error(`  ${reason}`);
}
