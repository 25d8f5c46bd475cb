/**
 * The folder of a run: what it is called, what lies in it, and how it is continued.
 *
 * @module
 */
import { CheckpointError } from "../src/checkpoint.ts";
import type { RunSettings } from "./recipe.ts";
import { UsageError } from "./usage.ts";

/** Names of a run's files. */
export const FILES = {
  /** The model alone, under PyTorch's names: what other programs read. */
  checkpoint: "checkpoint.safetensors",
  /** The same at its best, and its moving average, where there is one. */
  best: "best.safetensors",
  ema: "ema.safetensors",
  /** All that is state, a file a step: what `--resume` reads. */
  states: "checkpoints",
  recipe: "recipe.json",
  metrics: "metrics.jsonl",
  faults: "faults.jsonl",
  badFiles: "bad_files.txt",
  /** Adapter, memory, times. */
  run: "run.json",
  panels: "panels",
  picture: "reconstruction.png",
  /** Images, their masks and predictions. */
  overlays: "overlays.png",
  /** Clips in motion. */
  animation: "reconstruction.webp",
  report: "report.html",
} as const;

/** Whether there is such a file or folder. */
export function exists(path: string): Promise<boolean> {
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
 * Makes the folder of a run, if need be, and takes it for this process alone.
 *
 * @returns Leaves the folder to other processes when it is disposed of.
 * @throws {UsageError} If another process trains there.
 * @throws {Error} If that cannot be written; the message names the folder.
 */
export async function takeRunFolder(folder: string): Promise<Disposable> {
  const lock = await naming(folder, async () => {
    await Deno.mkdir(folder, { recursive: true });
    return await Deno.open(`${folder}/.lock`, { write: true, create: true });
  });
  // Held by the process, so that a killed one leaves no lock.
  if (await naming(folder, () => lock.tryLock(true))) return lock;
  lock.close();
  throw new UsageError(`Cannot write to ${folder}: another process trains there`);
}

/**
 * Keeps the recipe of a run in its folder.
 *
 * @throws {Error} If that cannot be written; the message names the folder.
 */
export async function writeRecipe(folder: string, recipe: RunSettings): Promise<void> {
  const text = `${JSON.stringify(recipe, null, 2)}\n`;
  await naming(folder, () => writeWhole(`${folder}/${FILES.recipe}`, text));
}

async function naming<Result>(folder: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (cause) {
    throw new Error(`Cannot write to ${folder}: ${(cause as Error).message}`, { cause });
  }
}

/** Fields that recipes had not always, as runs were before. */
const EARLIER = { memory: { recompute: "none", activations: "f32" } } as const;

/**
 * The recipe that a run was started with.
 *
 * @param find Finds the recipe of a name, which has all the fields that this one must have.
 * @throws {CheckpointError} If the file is damaged, or no recipe of this version.
 */
export async function readRecipe<R extends RunSettings>(
  folder: string,
  find: (name: string) => R,
): Promise<R> {
  const path = `${folder}/${FILES.recipe}`;
  try {
    const read = JSON.parse(await Deno.readTextFile(path));
    const named = find(read.name);
    const recipe = { ..."memory" in named && EARLIER, ...read };
    const lacking = missingField(named, recipe);
    if (lacking) throw new RangeError(`it has no ${lacking}`);
    return recipe;
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
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

/** Bad files that a run has met so far, with the reason. */
export async function readBadFiles(folder: string): Promise<Map<string, string>> {
  const path = `${folder}/${FILES.badFiles}`;
  if (!await exists(path)) return new Map();
  const lines = (await Deno.readTextFile(path)).split("\n").filter((line) => line.includes("\t"));
  return new Map(lines.map((line) => line.split("\t", 2) as [string, string]));
}

/** Writes a text file so that a killed process leaves the old one or the new. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(`${path}.tmp`, text);
  await Deno.rename(`${path}.tmp`, path);
}
