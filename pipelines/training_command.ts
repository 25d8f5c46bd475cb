/**
 * A command that trains: from a request to a finished run in its folder. `pretrain` and `finetune`
 * differ in their task, in what they show, and in nothing else.
 *
 * @module
 */
import { resolve } from "node:path";
import type { ViewBatch } from "../data/views.ts";
import { type Device, MemoryError } from "../src/device.ts";
import type { Params } from "../src/optim.ts";
import { type ModelMetadata, readCheckpoint, tidy, writeModels } from "./checkpoints.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { PaperFigure } from "./finetune_recipe.ts";
import { fit, type FitOptions, type Fitted } from "./fit.ts";
import type { ImageSplits } from "./images.ts";
import { onInterrupt } from "./interrupt.ts";
import { peakRate } from "./pretrain.ts";
import { profileText } from "./profile.ts";
import { startProgress } from "./progress.ts";
import { BUNDLED, MOTIONS, override, type RunSettings } from "./recipe.ts";
import type { OnBad } from "./reconstruction.ts";
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
import { type Options, UsageError } from "./usage.ts";

/** Options of every command that trains. */
export const RUN_OPTIONS = {
  data: { type: "string" },
  out: { type: "string" },
  steps: { type: "string" },
  seed: { type: "string" },
  profile: { type: "string" },
  resume: { type: "boolean" },
} as const satisfies Options;

/** What the options ask for. */
export interface RunOptionValues {
  readonly data?: string;
  readonly out?: string;
  readonly steps?: string;
  readonly seed?: string;
  readonly profile?: string;
  readonly resume?: boolean;
}

/** What the arguments of such a command ask for. */
export interface RunRequest<R extends RunSettings> {
  readonly recipe: R;
  readonly out: string;
  readonly resume: boolean;
  /** The recipe before any field was changed. */
  readonly base: R;
  /** Steps to time; undefined unless asked for. */
  readonly profile?: number;
}

/** Splits words into the name of a recipe and fields. */
export function wordsOf(
  positionals: readonly string[],
  standard: string,
): { name: string; isNamed: boolean; fields: string[] } {
  const names = positionals.filter((word) => !word.includes("="));
  if (names.length > 1) throw new UsageError(`Expected one recipe, got ${names.join(" and ")}`);
  const fields = positionals.filter((word) => word.includes("="));
  return { name: names[0] ?? standard, isNamed: names.length === 1, fields };
}

/**
 * Finds the folder and the recipe of a run, and changes the recipe's fields.
 *
 * @param find Finds a recipe by its name.
 * @param values Options as given.
 * @throws {UsageError} If they do not fit together.
 */
export async function requestRun<R extends RunSettings>(
  find: (name: string) => R,
  { name, isNamed, fields }: ReturnType<typeof wordsOf>,
  values: RunOptionValues,
): Promise<RunRequest<R>> {
  const named = find(name);
  const { resume = false } = values;
  const out = resume
    ? await oldRunFolder(named.name, values.out)
    : await newRunFolder(named.name, values.out);
  const base = resume ? await readRecipe(out, find) : named;
  if (isNamed && base.name !== named.name) {
    throw new UsageError(`Cannot resume ${out} as ${named.name}: it is a run of ${base.name}`);
  }
  const options = [
    ...(values.data === undefined ? [] : [`data.path=${values.data}`]),
    ...(values.steps === undefined ? [] : [`schedule.steps=${values.steps}`]),
    ...(values.seed === undefined ? [] : [`seed=${values.seed}`]),
  ];
  // A run keeps its effective batch, whatever the device holds at once.
  const kept = resume ? [`batch.effective=${base.batch.effective}`] : [];
  const recipe = override(base, [...kept, ...options, ...fields]);
  const profile = values.profile === undefined ? undefined : Number(values.profile);
  if (profile !== undefined && !(Number.isSafeInteger(profile) && profile > 0)) {
    throw new UsageError(`Option --profile expects a number of steps, got ${values.profile}`);
  }
  return { recipe, out, resume, base, profile };
}

/** @throws {UsageError} If a run's pictures would become images of its data. */
export function checkPlaces({ recipe, out, resume }: RunRequest<RunSettings>): void {
  const { path } = recipe.data;
  const isInside = path !== null && `${resolve(out)}/`.startsWith(`${resolve(path)}/`);
  if (!resume && isInside) {
    throw new UsageError(`Cannot write to ${out}: its pictures would become images of ${path}`);
  }
}

/** What goes wrong in a run without stopping it. */
export interface Notes {
  readonly badFiles: Map<string, string>;
  readonly warnings: ReadonlySet<string>;
  readonly onBad: OnBad;
  /** Takes what a batch was loaded with. */
  readonly onBatch: (batch: Pick<ViewBatch, "skipped" | "warnings">) => void;
  readonly warn: (message: string) => void;
}

/** Notes of a run, with those of its past. */
export async function openNotes({ out, resume }: RunRequest<RunSettings>): Promise<Notes> {
  const badFiles = resume ? await readBadFiles(out) : new Map<string, string>();
  const warnings = new Set<string>();
  const onBad = (file: string, reason: string) => void badFiles.set(file, reason);
  const warn = (message: string) => {
    if (!warnings.has(message)) console.error(message);
    warnings.add(message);
  };
  const onBatch: Notes["onBatch"] = (batch) => {
    for (const [file, reason] of batch.skipped) onBad(file, reason);
    for (const message of batch.warnings) warn(message);
  };
  return { badFiles, warnings, onBad, onBatch, warn };
}

/** What a command does while its task is trained. */
export interface Watch extends Pick<FitOptions<Params>, "draw" | "validate"> {
  destroy(): void;
}

/** A task, and all that a command knows of it. */
export interface Training<R extends RunSettings, Batch extends Params> {
  readonly command: string;
  readonly request: RunRequest<R>;
  readonly images: ImageSplits;
  readonly imageSize: readonly number[];
  /** How clips are taken, where there are clips for images: `8 frames × 48 × 48, stride 2`. */
  readonly clips?: string;
  readonly device: Device;
  readonly notes: Notes;
  readonly task: Task<Params, Batch>;
  /** What files of the model say of it. */
  readonly model: ModelMetadata;
  /** Lines of the plan, besides those of every run. */
  readonly facts?: Readonly<Record<string, string>>;
  watch(trainer: Trainer<Params>): Promise<Watch>;
  /** What the paper reports for this recipe. */
  readonly paper?: PaperFigure | null;
  /** Lines that say what to look at, besides those of every run; the first is first. */
  readonly files?: readonly (readonly [name: string, what: string])[];
  /** What to do next, by the folder. */
  next(fitted: Fitted): string;
}

/**
 * Trains, keeps and reports.
 *
 * @returns The exit code.
 */
export async function runTraining<R extends RunSettings, Batch extends Params>(
  training: Training<R, Batch>,
): Promise<number> {
  const { command, request, images, device, notes, task, model } = training;
  const { recipe, out, resume, profile } = request;
  const { badFiles, warnings, warn } = notes;
  using held = new DisposableStack();
  if (resume) held.use(await takeRunFolder(out));
  const checkpoint = resume ? await readCheckpoint(out, initialWeights(task), warn) : undefined;
  const start = checkpoint?.step ?? 0;
  if (start > task.steps) {
    throw new UsageError(
      `Cannot resume ${out} to step ${task.steps}: it has done ${start}; raise --steps`,
    );
  }
  const data = fingerprintOf(images.train);
  if (checkpoint && checkpoint.data !== data) {
    const samples = training.clips ? "clips" : "images";
    warn(`These are not the ${samples} that the run began with: it goes on with others`);
  }
  const advising = adviseOn(task);
  const trainer = await advising(() => prepare(device, task));
  held.defer(() => trainer.destroy());
  if (checkpoint) trainer.load(checkpoint.weights);
  if (resume && !checkpoint) console.log("The run has saved nothing yet: starting anew");
  describe(training, trainer, start);

  if (!resume) held.use(await takeRunFolder(out));
  await writeRecipe(out, recipe);
  if (resume) await tidy(out, start, checkpoint?.data === data);
  if (checkpoint) await writeModels(out, checkpoint, model); // a killed run may not have come to it
  const about = runInfo(command, device, recipe, images, task, trainer);
  const writeAbout = (ended?: Ended) =>
    writeRunInfo(out, about, trainer, { warnings: [...warnings], ended });
  await writeAbout();
  const watch = await advising(() => training.watch(trainer));
  const interrupt = onInterrupt();
  const unit = training.clips ? "clips" : "images";
  const bar = startProgress(start, task.steps, recipe.batch.effective, trainer.peakBytes, unit);
  try {
    const fitted = await fit(task, trainer, {
      ...{ folder: out, recipe, images: images.train.length, checkpoint, data, badFiles, profile },
      ...{ model, validate: watch.validate, draw: watch.draw },
      ...{ progress: bar, signal: interrupt.signal, warn },
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
          `deno task ${command} --resume --out ${out}`,
      );
      return interrupt.code();
    }
    summarise(training, fitted, start);
  } finally {
    bar.stop();
    interrupt.release();
    watch.destroy();
    report(badFiles);
  }
  return 0;
}

/** A recipe whose micro-batches are the parts in which a trainer takes them. */
export function ofParts<R extends RunSettings>(
  recipe: R,
  { parts }: Pick<Trainer<Params>, "parts">,
): R {
  const { micro, effective } = recipe.batch;
  return { ...recipe, batch: { micro: micro / parts, effective } };
}

/** Adds what to change where memory does not suffice. */
function adviseOn({ microBatch }: { readonly microBatch: number }) {
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

const count = new Intl.NumberFormat("en");

/** What comes with the project, in words. */
const PLACES: ReadonlyMap<string | null, string> = new Map([
  [BUNDLED, "the bundled photos"],
  [MOTIONS, "the bundled motions"],
]);

/** Says what is about to happen, before step one. */
function describe<R extends RunSettings, Batch extends Params>(
  training: Training<R, Batch>,
  { peakBytes, dispatches }: Trainer<Params>,
  start: number,
): void {
  const { device, request: { recipe, out }, images: { train, val }, task, facts } = training;
  const { effective } = recipe.batch;
  const { steps, microBatch, accumulate } = task;
  const { clips, imageSize } = training;
  const where = PLACES.get(recipe.data.path) ?? recipe.data.path;
  const { trained, frozen } = countParameters(task);
  const lines = {
    recipe: `${recipe.name} — ${recipe.source}`,
    adapter: device.name,
    [clips ? "clips" : "images"]: `${count.format(train.length)} of ${where} at ${
      clips ?? imageSize.join(" × ")
    }${val ? `, ${count.format(val.length)} held out` : ""}`,
    ...facts,
    parameters: `${count.format(trained)} trained, ${count.format(frozen)} frozen`,
    memory: `${(peakBytes / 2 ** 20).toFixed(0)} MiB on the device at its peak`,
    dispatches: `${count.format(dispatches)} a step`,
    batch: `${effective} effective = ${microBatch} × ${accumulate} micro-batch${
      accumulate === 1 ? "" : "es"
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
function summarise<R extends RunSettings, Batch extends Params>(
  { request: { recipe, out }, files: own = [], paper, next }: Training<R, Batch>,
  fitted: Fitted,
  start: number,
): void {
  const { losses, metrics } = fitted;
  const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
  const span = Math.min(20, Math.ceil(losses.length / 2));
  const [first, last] = [losses.slice(0, span), losses.slice(-span)];
  if (losses.length > 0) {
    console.log(
      `\nLoss: ${mean(first).toFixed(4)} over the first ${span} step${span === 1 ? "" : "s"}, ` +
        `${mean(last).toFixed(4)} over the last ${span}.`,
    );
  }
  for (const [column, name, best] of VALIDATED) {
    const lines = metrics.filter((line) => line[column] !== undefined);
    if (lines.length === 0) continue;
    const top = lines.reduce((a, b) => best(b[column]!, a[column]!) ? b : a);
    console.log(
      `${name}: ${lines.at(-1)![column]!.toFixed(4)}, at its best ${top[column]!.toFixed(4)} ` +
        `after step ${top.step}.`,
    );
  }
  if (paper) console.log(`The paper's top-1: ${paper.top1.toFixed(4)} (${paper.where}).`);
  if (start > 0 && start === metrics.at(-1)?.step) console.log("There was nothing left to do.");
  console.log(`Wrote to ${out}:`);
  const isValidated = metrics.some((line) => VALIDATED.some(([name]) => line[name] !== undefined));
  const files = [
    [FILES.report, "how it went, in a browser: look at this first"],
    ...own,
    [FILES.checkpoint, "parameters, under PyTorch's names"],
    [FILES.best, `the same where the ${isValidated ? "validation" : "loss"} was best`],
    ...(recipe.optimizer.emaDecay ? [[FILES.ema, "their moving average"]] : []),
    [`${FILES.states}/`, "what --resume needs"],
    [FILES.metrics, "a line a step; events.out.tfevents… has the same for TensorBoard"],
    [FILES.recipe, "the settings"],
  ];
  for (const [name, what] of files) console.log(`  ${name.padEnd(24)}${what}`);
  console.log(`Next: ${next(fitted)}`);
}

/** Columns of validation, their names, and which of two values is better. */
const VALIDATED = [
  ["val_loss", "Validation loss", (a: number, b: number) => a < b],
  ["val_top1", "Validation top-1", (a: number, b: number) => a > b],
  ["val_miou", "Validation mIoU", (a: number, b: number) => a > b],
  ["val_box_ap", "Validation AP of boxes", (a: number, b: number) => a > b],
] as const;

/** Names the files that could not be used. */
function report(bad: ReadonlyMap<string, string>): void {
  if (bad.size === 0) return;
  console.error(`\nSkipped ${bad.size} bad file${bad.size === 1 ? "" : "s"}:`);
  for (const [, reason] of [...bad].sort()) console.error(`  ${reason}`);
}
