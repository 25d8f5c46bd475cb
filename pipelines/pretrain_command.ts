/**
 * `deno task pretrain`: from arguments to a finished run.
 *
 * @module
 */
// @ts-types="@types/cli-progress"
import cliProgress from "cli-progress";
import { parseArgs } from "node:util";
import type { ImageSource } from "../data/source.ts";
import { type Device, openDevice } from "../src/device.ts";
import type { Params } from "../src/optim.ts";
import { sizeOf, type Tensor } from "../src/tensor.ts";
import { leaves } from "../src/tree.ts";
import { trainingImages } from "./images.ts";
import { type MaskedBatch, peakRate, pretrainTask } from "./pretrain.ts";
import { reconstruct, writePicture } from "./reconstruction.ts";
import { BUNDLED, checkContinues, override, type Recipe, validate } from "./recipe.ts";
import { findRecipe, recipes } from "./recipes/mod.ts";
import {
  FILES,
  newRunFolder,
  oldRunFolder,
  openMetrics,
  openRunFolder,
  readRecipe,
  readState,
  writeState,
} from "./run_folder.ts";
import { prepare, split, type Task, type Trainer } from "./train.ts";
import { UsageError } from "./usage.ts";

const HELP = `Pretrain a masked autoencoder on images.

  deno task pretrain [recipe] [options] [field.path=value …]

With nothing else, it trains a tiny MCMAE on the photos that come with the project.

Recipes:
${recipes.map(({ name, source }) => `  ${name.padEnd(18)}${source}`).join("\n")}

Options:
  --data DIR     Your images: JPEG, PNG or WebP, in class folders or not
  --out DIR      Where to write (default runs/<recipe>, then runs/<recipe>-2, …)
  --steps N      Stop after N optimizer steps
  --seed N       Another draw of parameters, crops and masks
  --resume       Continue the run in --out (default: the recipe's latest)
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
  checkpoint.every=50                Optimizer steps between two checkpoints

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
  const { recipe, out, resume, base } = request;
  const source = await trainingImages(recipe.data);
  const device = await openDevice();
  const bad = new Map<string, string>();
  const fresh = pretrainTask(recipe, source, ({ skipped }) => {
    for (const [file, reason] of skipped) bad.set(file, reason);
  });
  const state = fresh.optimizer.init(split(fresh.params, fresh.frozen).trainable);
  const saved = resume ? await readState(out, { params: fresh.params, state }) : undefined;
  if (saved) checkContinues(base, recipe);
  if (saved && saved.step > fresh.steps) {
    throw new UsageError(
      `Cannot resume ${out} to step ${fresh.steps}: it has done ${saved.step}; raise --steps`,
    );
  }
  const task = {
    ...fresh,
    state,
    ...(saved && { params: saved.params, state: saved.state, start: saved.step }),
  };
  const trainer = await prepare(device, task);
  if (resume && !saved) console.log("The run has saved nothing yet: starting anew");
  describe(device, recipe, source, task, trainer, out);
  await openRunFolder(out, recipe);
  try {
    const losses = await runToEnd(recipe, source, task, trainer, out);
    const result = await reconstruct(device, recipe, trainer.params, source, 6);
    await writePicture(`${out}/${FILES.picture}`, recipe, result);
    summarise(recipe, losses, out);
  } finally {
    report(bad);
  }
  return 0;
}

async function parse(args: readonly string[]): Promise<Request | undefined> {
  const { values, positionals } = parsed(args);
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
  return { recipe, out, resume: values.resume ?? false, base };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        data: { type: "string" },
        out: { type: "string" },
        steps: { type: "string" },
        seed: { type: "string" },
        resume: { type: "boolean" },
        dense: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (cause) {
    const [message] = (cause as Error).message.split(/\.\s/);
    throw new UsageError(`${message}: see deno task pretrain --help`, { cause });
  }
}

const count = new Intl.NumberFormat("en");

/** Says what is about to happen, before step one. */
function describe(
  device: Device,
  recipe: Recipe,
  source: ImageSource,
  task: PretrainTask,
  { peakBytes, dispatches }: Trainer<Params>,
  out: string,
): void {
  const parameters = (tree: Params) =>
    leaves<Tensor>(tree).reduce((n, { shape }) => n + sizeOf(shape), 0);
  const { micro, effective } = recipe.batch;
  const { start, steps } = task;
  const { trainable, frozen } = split(task.params, task.frozen);
  const lines = {
    recipe: `${recipe.name} — ${recipe.source}`,
    adapter: device.name,
    images: `${count.format(source.length)} of ${recipe.data.path ?? "the bundled photos"} at ${
      recipe.model.imageSize.join(" × ")
    }`,
    parameters: `${count.format(parameters(trainable))} trained, ${
      count.format(parameters(frozen))
    } frozen`,
    memory: `${(peakBytes / 2 ** 20).toFixed(0)} MiB on the device at its peak`,
    dispatches: `${count.format(dispatches)} a step`,
    batch: `${effective} effective = ${micro} × ${effective / micro} micro-batch${
      effective === micro ? "" : "es"
    }`,
    rate: `${peakRate(recipe).toPrecision(3)} = ${recipe.optimizer.blr} × ${effective} / 256`,
    steps: `${start > 0 ? `${start} done of ` : ""}${steps} (${
      (steps * effective / source.length).toFixed(1)
    } epochs)`,
    out,
  };
  for (const [name, text] of Object.entries(lines)) console.log(`${name.padEnd(12)}${text}`);
}

/** Trains, logs and saves. */
async function runToEnd(
  recipe: Recipe,
  source: ImageSource,
  task: PretrainTask,
  trainer: Trainer<Params>,
  out: string,
): Promise<readonly number[]> {
  const log = await openMetrics(out, task.start, source.length, recipe.batch.effective);
  const bar = new cliProgress.SingleBar({
    format: "{bar} {value}/{total}  loss {loss}  {rate} images/s  ETA {left}",
    noTTYOutput: true,
    notTTYSchedule: 10_000,
  }, cliProgress.Presets.shades_classic);
  bar.start(task.steps, task.start, { loss: "–", rate: "–", left: "–" });
  try {
    for await (const metrics of trainer.run()) {
      await log.write(metrics);
      const latest = metrics.at(-1);
      if (!latest) continue;
      bar.update(latest.step, {
        loss: latest.loss.toFixed(4),
        rate: speed(latest.imagesPerSecond),
        left: duration(
          (task.steps - latest.step) * recipe.batch.effective / latest.imagesPerSecond,
        ),
      });
      if (latest.step % recipe.checkpoint.every === 0 || latest.step === task.steps) {
        await writeState(out, latest.step, task.params, task.state!, await trainer.snapshot());
      }
    }
  } finally {
    bar.stop();
  }
  return log.losses;
}

/** Seconds as `1h20m` or `3m05s`. */
function duration(seconds: number): string {
  const [high, low, units] = seconds >= 3600 ? [3600, 60, "hm"] : [60, 1, "ms"];
  const rest = Math.floor(seconds % high / low);
  return `${Math.floor(seconds / high)}${units[0]}${String(rest).padStart(2, "0")}${units[1]}`;
}

/** Three digits, whether a model does 300 images a second or one in ten. */
function speed(imagesPerSecond: number): string {
  return imagesPerSecond >= 100 ? imagesPerSecond.toFixed(0) : imagesPerSecond.toPrecision(3);
}

/** Says what came of it. */
function summarise(recipe: Recipe, losses: readonly number[], out: string): void {
  const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
  const span = Math.min(20, losses.length);
  console.log(
    `\nLoss: ${mean(losses.slice(0, span)).toFixed(4)} over the first ${span} steps, ` +
      `${mean(losses.slice(-span)).toFixed(4)} over the last ${span}.`,
  );
  console.log(`Wrote to ${out}:`);
  console.log(`  ${FILES.checkpoint}  parameters, under PyTorch's names`);
  console.log(`  ${FILES.state}       what --resume needs`);
  console.log(`  ${FILES.metrics}           a line a step`);
  console.log(`  ${FILES.recipe}             the settings`);
  console.log(`  ${FILES.picture}      original, masked, reconstructed: look at it`);
  const next = recipe.data.path === BUNDLED
    ? "deno task pretrain --data DIR"
    : `deno task pretrain ${recipe.name} --resume --out ${out} schedule.epochs=N`;
  console.log(
    `Next: ${next}${recipe.data.path === BUNDLED ? "   (your own images)" : "   (train on)"}`,
  );
}

/** Names the files that could not be used. */
function report(bad: ReadonlyMap<string, string>): void {
  if (bad.size === 0) return;
  console.error(`\nSkipped ${bad.size} bad file${bad.size === 1 ? "" : "s"}:`);
  for (const [file, reason] of [...bad].sort()) console.error(`  ${file}: ${reason}`);
}
