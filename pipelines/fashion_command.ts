/**
 * `deno task fashion`: pretrains on Fashion-MNIST in several ways, and prints what each is worth.
 *
 * @module
 */
import { openDevice } from "../src/device.ts";
import { type FashionResult, openFashion, probedLayers, type Way, waysOf } from "./fashion.ts";
import { measureRow, type RowRequest } from "./fashion_row.ts";
import { percent, rounded } from "./eval/result.ts";
import { onInterrupt } from "./interrupt.ts";
import { atOnce } from "./jobs.ts";
import { override, validate } from "./recipe.ts";
import { findFinetuneRecipe, findProbeRecipe, findRecipe } from "./recipes/mod.ts";
import { exists, takeRunFolder, writeWhole } from "./run_folder.ts";
import { table } from "./table.ts";
import { parseWords, UsageError } from "./usage.ts";

const HELP =
  `Compare ways of pretraining on Fashion-MNIST: linear probe, nearest neighbours, fine-tuning.

  deno task fashion [options]

Options:
  --data DIR            IDX files (default: Debian's dataset-fashion-mnist)
  --out DIR             Encoders and results (default runs/fashion); what is there is not done again
  --seeds N             Repeat with N seeds (default 3)
  --images N            Take the first N images of each split, for a quick look
  --pretrain-epochs E   Epochs of pretraining (default 1.5)
  --finetune-epochs E   Epochs of fine-tuning (default 0.75); 0 leaves that column out
  --jobs N              Rows at a time, 4 GB each (default 2 on a CPU adapter, else 1)
  --help

Rows: raw pixels; an encoder as drawn; MAE with a ViT of as many parameters; MCMAE whose convolutions
see masked cells; MCMAE. The probe is of all tokens side by side, as the decoder gets them: of MCMAE's
three stages, of a ViT's last layer. Nearest neighbours are by the mean of the final tokens;
fine-tuning begins with the encoder. The test images are used for these figures alone. All
settings are for brief runs; three seeds take about an hour on two cores. The last line on stdout is
one JSON object.`;

/** A row of one seed. */
type Row = Pick<RowRequest, "way" | "seed">;

/** Smaller batches than the recipes': in as many epochs they learn more. */
const BRIEF = ["batch.micro=64", "batch.effective=64", "optimizer.blr=8e-3"];
/** No time to overfit: nothing is smoothed or dropped. Chosen on held-out training images. */
const BRIEF_FINETUNING = [...BRIEF, "mix.smoothing=0", "model.dropPath=0"];
/** Of all tokens side by side; the rate is the best of 4, 8 and 12 on held-out images. */
const PROBE = ["optimizer.blr=4", "schedule.epochs=5", "schedule.warmupEpochs=0.5"];

/**
 * Runs the command.
 *
 * @returns The exit code.
 */
export async function fashionCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseWords(args, {
    data: { type: "string", default: "/usr/share/datasets/fashion-mnist" },
    out: { type: "string", default: "runs/fashion" },
    seeds: { type: "string", default: "3" },
    images: { type: "string" },
    "pretrain-epochs": { type: "string", default: "1.5" },
    "finetune-epochs": { type: "string", default: "0.75" },
    jobs: { type: "string" },
  }, "see deno task fashion --help");
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  if (positionals.length > 0) throw new UsageError(`Expected options only, got ${positionals[0]}`);
  const seeds = positive("seeds", values.seeds);
  const images = values.images === undefined ? undefined : positive("images", values.images);
  const pretrainEpochs = number("pretrain-epochs", values["pretrain-epochs"], "positive");
  const finetuneEpochs = number("finetune-epochs", values["finetune-epochs"], "0 or more");
  const asked = values.jobs === undefined ? undefined : positive("jobs", values.jobs);
  const { data, out } = values;
  if (!await exists(data)) {
    throw new UsageError(
      `Cannot read ${data}: no such folder; install dataset-fashion-mnist or add --data DIR`,
    );
  }
  const pretraining = (name: string) =>
    override(findRecipe(name), [
      `data.path=${data}`,
      ...paceOf(pretrainEpochs, 0.1),
      ...BRIEF,
    ]);
  const ways = waysOf(pretraining("fashion_mnist"), pretraining("fashion_mnist_mae"));
  const finetuning = override(findFinetuneRecipe("finetune_fashion"), [
    ...[`data.path=${data}`, ...paceOf(finetuneEpochs, 0.2)],
    ...BRIEF_FINETUNING,
  ]);
  for (const { recipe } of ways) if (recipe) validate(recipe);
  const opened = await openFashion(data, images);
  using _lock = await takeRunFolder(out);
  const probe = override(findProbeRecipe("linprobe_fashion"), PROBE);
  const about = {
    ...{ images: opened.train.length, testImages: opened.test.length, finetuning, probe },
    ways: ways.map(({ name, recipe }) => ({
      name,
      recipe,
      probed: recipe && probedLayers(recipe),
    })),
  };
  const results = await readResults(out, about);
  const { name, isCpu } = await adapter();
  const jobs = asked ?? (isCpu ? 2 : 1);
  console.error(
    `${name}, ${opened.train.length} images to train on, ${opened.test.length} to test on`,
  );
  const interrupt = onInterrupt("stopping; finished rows are kept");
  const threads = threadsOf(jobs);
  const measure = (row: Row, unwanted: AbortSignal) =>
    measureRow(
      { data, images, folder: out, finetuning, probe, ...row },
      threads,
      AbortSignal.any([interrupt.signal, unwanted]),
    );
  try {
    for await (const result of atOnce(missingRows(ways, seeds, results), jobs, measure)) {
      results.push(result);
      await writeWhole(`${out}/results.json`, `${JSON.stringify({ about, results }, null, 2)}\n`);
      console.error(`${result.way}, seed ${result.seed}: ${result.seconds.toFixed(0)} s`);
    }
  } catch (error) {
    if (interrupt.code()) return interrupt.code();
    throw error;
  } finally {
    interrupt.release();
  }
  const shown = results.filter(({ seed }) => seed < seeds)
    .sort((a, b) => a.seed - b.seed || place(ways, a) - place(ways, b));
  const rows = ways.map(({ name }) => rowOf(name, shown.filter(({ way }) => way === name)));
  const titles = ["", "linear probe", "k-NN", "fine-tuned", "parameters", "pretraining"];
  for (const line of table([titles, ...rows])) console.log(line);
  console.log(JSON.stringify({ task: "fashion", seeds, n: opened.test.length, results: shown }));
  return 0;
}

/** What computes, for the user; each row opens it anew. */
async function adapter(): Promise<{ name: string; isCpu: boolean }> {
  const { name, target, gpu } = await openDevice();
  gpu.destroy();
  return { name, isCpu: target.cpu };
}

/** Rows without results: a seed after the other, of each the longest first. */
function missingRows(
  ways: readonly Way[],
  seeds: number,
  results: readonly FashionResult[],
): Row[] {
  const ofSeed = (seed: number) => ways.toReversed().map((way) => ({ way, seed }));
  return Array.from({ length: seeds }, (_, seed) => ofSeed(seed)).flat().filter((row) =>
    !results.some(({ way, seed }) => way === row.way.name && seed === row.seed)
  );
}

/**
 * Threads of each job on a CPU adapter. Of a core each, none: handing small kernels to other threads
 * costs more than they do.
 */
function threadsOf(jobs: number): number {
  const threads = Math.floor(navigator.hardwareConcurrency / jobs);
  return threads > 1 ? threads : 0;
}

/** Where a result's way stands in the table. */
function place(ways: readonly Way[], { way }: FashionResult): number {
  return ways.findIndex(({ name }) => name === way);
}

/** Fields of a schedule whose first part, a share of all, warms up. */
function paceOf(epochs: number, warmup: number): string[] {
  return [`schedule.epochs=${epochs}`, `schedule.warmupEpochs=${warmup * epochs}`];
}

function number(name: string, text: string, range: "positive" | "0 or more"): number {
  const value = text.trim() === "" ? NaN : Number(text);
  if (Number.isFinite(value) && (range === "positive" ? value > 0 : value >= 0)) return value;
  throw new UsageError(`Option --${name} must be ${range}, got ${text || "nothing"}`);
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(`Option --${name} expects a positive integer, got ${text || "nothing"}`);
}

/**
 * Results that are there already.
 *
 * @throws {UsageError} If they are of other images or settings.
 */
async function readResults(folder: string, about: unknown): Promise<FashionResult[]> {
  const path = `${folder}/results.json`;
  if (!await exists(path)) return [];
  const kept = JSON.parse(await Deno.readTextFile(path));
  if (JSON.stringify(kept.about) === JSON.stringify(about)) return kept.results;
  throw new UsageError(`Folder ${folder} holds results of other settings: name another with --out`);
}

function rowOf(name: string, results: readonly FashionResult[]): string[] {
  const figures = (of: (result: FashionResult) => number | undefined) =>
    results.map(of).filter((value) => value !== undefined);
  const [seconds] = [figures(({ pretrainSeconds }) => pretrainSeconds)];
  return [
    name,
    ...[figures(({ linprobe }) => linprobe), figures(({ knn }) => knn), figures((r) => r.finetuned)]
      .map(spread),
    results[0]?.parameters?.toLocaleString("en") ?? "",
    seconds.length > 0 ? `${mean(seconds).toFixed(0)} s` : "",
  ];
}

/** `88.12 % ± 0.21`: mean and standard deviation over seeds. */
function spread(shares: readonly number[]): string {
  if (shares.length === 0) return "";
  const average = mean(shares);
  const variance = mean(shares.map((share) => (share - average) ** 2));
  return `${percent(average)} ± ${(100 * rounded(Math.sqrt(variance))).toFixed(2)}`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
