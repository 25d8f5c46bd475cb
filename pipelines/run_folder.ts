/**
 * The folder of a run: what it is called, what lies in it, and how it is continued.
 *
 * @module
 */
import { CheckpointError, fromSafetensors, toSafetensors } from "../src/checkpoint.ts";
import { loadSafetensors, writeSafetensors } from "../src/safetensors.ts";
import type { Params } from "../src/optim.ts";
import type { Recipe } from "./recipe.ts";
import { findRecipe } from "./recipes/mod.ts";
import type { Snapshot, StepMetrics } from "./train.ts";
import { UsageError } from "./usage.ts";

/** Names of a run's files. */
export const FILES = {
  /** The model alone, under PyTorch's names: what other programs read. */
  checkpoint: "checkpoint.safetensors",
  /** Model, optimizer and step: what `--resume` reads, in one file so that it is never torn. */
  state: "state.safetensors",
  recipe: "recipe.json",
  metrics: "metrics.jsonl",
  picture: "reconstruction.png",
} as const;

function exists(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => true, () => false);
}

async function holdsRun(folder: string): Promise<boolean> {
  const found = await Promise.all(Object.values(FILES).map((name) => exists(`${folder}/${name}`)));
  return found.includes(true);
}

/**
 * The folder for a run that starts.
 *
 * @param out As named by the user; else `runs/<name>`, or the first of `runs/<name>-2`, `-3` …
 *   that does not exist.
 * @throws {UsageError} If the named folder holds a run, or is none.
 */
export async function newRunFolder(name: string, out?: string): Promise<string> {
  if (out !== undefined) {
    const { isDirectory } = await Deno.stat(out).catch(() => ({ isDirectory: out !== "" }));
    if (!isDirectory) throw new UsageError(`Cannot write to ${out || '""'}: it is not a folder`);
    if (await holdsRun(out)) {
      throw new UsageError(
        `Folder ${out} holds a run: add --resume to continue it, or name another`,
      );
    }
    return out;
  }
  for (let i = 1;; i++) {
    const folder = i === 1 ? `runs/${name}` : `runs/${name}-${i}`;
    if (!await exists(folder)) return folder;
  }
}

/**
 * The folder of a run to continue: the named one, or the latest of `runs/<name>`, `-2`, `-3` …
 *
 * @throws {UsageError} If there is no run.
 */
export async function oldRunFolder(name: string, out?: string): Promise<string> {
  let folder = out;
  for (let i = 1; out === undefined; i++) {
    const next = i === 1 ? `runs/${name}` : `runs/${name}-${i}`;
    if (!await exists(next)) break;
    folder = next;
  }
  if (folder === undefined || !await exists(`${folder}/${FILES.recipe}`)) {
    throw new UsageError(`Cannot resume ${folder ?? `runs/${name}`}: it holds no run`);
  }
  return folder;
}

/**
 * Makes the folder of a run and keeps its recipe there.
 *
 * @throws {Error} If that cannot be written; the message names the folder.
 */
export async function openRunFolder(folder: string, recipe: Recipe): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true });
    const path = `${folder}/${FILES.recipe}`;
    await Deno.writeTextFile(`${path}.tmp`, `${JSON.stringify(recipe, null, 2)}\n`);
    await Deno.rename(`${path}.tmp`, path); // a killed process leaves the old one or the new
  } catch (cause) {
    throw new Error(`Cannot write to ${folder}: ${(cause as Error).message}`, { cause });
  }
}

/**
 * The recipe that a run was started with.
 *
 * @throws {CheckpointError} If the file is damaged, or no recipe of this version.
 */
export async function readRecipe(folder: string): Promise<Recipe> {
  const path = `${folder}/${FILES.recipe}`;
  try {
    const recipe = JSON.parse(await Deno.readTextFile(path));
    const lacking = missingField(findRecipe(recipe.name), recipe);
    if (lacking) throw new RangeError(`it has no ${lacking}`);
    return recipe;
  } catch (cause) {
    throw new CheckpointError(`Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** The first field of one record that another lacks. */
function missingField(like: object, found: object, prefix = ""): string | undefined {
  for (const [name, value] of Object.entries(like)) {
    const other = (found as Record<string, object | undefined>)[name];
    if (other === undefined) return prefix + name;
    const isGroup = typeof value === "object" && value !== null && !Array.isArray(value);
    const lacking = isGroup && missingField(value, other ?? {}, `${prefix}${name}.`);
    if (lacking) return lacking;
  }
}

/** Where a run stands. */
export interface SavedState {
  readonly step: number;
  readonly params: Params;
  readonly state: Params;
}

/**
 * Reads where a run stands.
 *
 * @param like Parameters and optimizer state of the recipe's model.
 * @returns Undefined if the run has saved nothing yet.
 * @throws {CheckpointError} If a file is damaged or holds another model.
 */
export async function readState(
  folder: string,
  like: { params: Params; state: Params },
): Promise<SavedState | undefined> {
  const path = `${folder}/${FILES.state}`;
  const checkpoint = `${folder}/${FILES.checkpoint}`;
  if (await exists(checkpoint)) await readParams(checkpoint, like.params);
  if (!await exists(path)) {
    if (!await exists(checkpoint)) return undefined;
    // From the start it would overwrite what was learnt.
    throw new CheckpointError(`Cannot resume ${folder}: it has no ${FILES.state}`);
  }
  const file = await loadSafetensors(path);
  return naming(path, () => ({
    step: stepOf(file.metadata),
    params: fromSafetensors(file, like.params, "model."),
    state: fromSafetensors(file, like.state, "optimizer."),
  }));
}

function stepOf({ step }: Record<string, string>): number {
  if (/^\d+$/.test(step)) return Number(step);
  throw new CheckpointError("its metadata name no step");
}

/**
 * Reads a model's parameters from a checkpoint.
 *
 * @throws {CheckpointError} If the file holds another model.
 */
export async function readParams<P extends Params>(path: string, like: P): Promise<P> {
  const file = await loadSafetensors(path);
  return naming(path, () => fromSafetensors(file, like));
}

function naming<Result>(path: string, read: () => Result): Result {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof CheckpointError)) throw cause;
    throw new CheckpointError(`Cannot use ${path}: ${cause.message}`, { cause });
  }
}

/** Writes both files of a checkpoint, each atomically; equal runs write equal bytes. */
export async function writeState(
  folder: string,
  step: number,
  params: Params,
  state: Params,
  values: Snapshot,
): Promise<void> {
  const model = toSafetensors(params, values.params);
  const metadata = { format: "pt", step: String(step) };
  await writeSafetensors(`${folder}/${FILES.state}`, [
    ...model.map(([name, value]) => [`model.${name}`, value] as const),
    ...toSafetensors(state, values.state, "optimizer."),
  ], metadata);
  await writeSafetensors(`${folder}/${FILES.checkpoint}`, model, metadata);
}

/** The metrics log: one JSON object an optimizer step. */
export interface MetricsLog {
  write(metrics: readonly StepMetrics[]): Promise<void>;
  readonly losses: number[];
}

/** Opens the log of a run at a step; lines of later steps, which will be done again, are dropped. */
export async function openMetrics(
  folder: string,
  step: number,
  imagesPerEpoch: number,
  batch: number,
): Promise<MetricsLog> {
  const path = `${folder}/${FILES.metrics}`;
  const text = await Deno.readTextFile(path).catch(() => "");
  const kept = text.split("\n").filter((line) => isStepUpTo(line, step));
  await Deno.writeTextFile(path, kept.map((line) => `${line}\n`).join(""));
  const losses: number[] = kept.map((line) => JSON.parse(line).loss);
  return {
    losses,
    async write(metrics) {
      const lines = metrics.map(({ step, loss, lr, gradNorm, imagesPerSecond }) =>
        JSON.stringify({
          step,
          epoch: Number((step * batch / imagesPerEpoch).toFixed(4)),
          loss,
          lr,
          grad_norm: gradNorm,
          images_per_s: Number(imagesPerSecond.toFixed(2)),
        })
      );
      losses.push(...metrics.map(({ loss }) => loss));
      await Deno.writeTextFile(path, lines.map((line) => `${line}\n`).join(""), { append: true });
    },
  };
}

/** Whether a line is whole and of a step up to `last`; a killed run may leave a torn line. */
function isStepUpTo(line: string, last: number): boolean {
  try {
    return JSON.parse(line).step <= last;
  } catch {
    return false;
  }
}
