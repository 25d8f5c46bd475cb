/**
 * What a run has left in its folder, as one value.
 *
 * @module
 */
import { basename, resolve } from "node:path";
import type { Profile } from "../profile.ts";
import { type Animation, type Panel, readAnimation, readPanels, type Samples } from "./panels.ts";

/** A run as its folder tells it. Whatever an old or interrupted run lacks is missing or empty. */
export interface RunRecord {
  /** Name of the folder. */
  readonly name: string;
  readonly folder: string;
  readonly recipe: Settings;
  readonly metrics: Metrics;
  readonly faults: readonly Fault[];
  /** Files that could not be read: path and reason. */
  readonly badFiles: readonly (readonly [string, string])[];
  readonly panels: readonly Panel[];
  /** Of clips. */
  readonly animation?: Animation;
  readonly details: RunDetails;
  /** When the metrics were last written, and when they were read: milliseconds since 1970. */
  readonly written: number;
  readonly read: number;
}

/** A recipe of any version. */
export type Settings = { readonly [name: string]: unknown };

/** `metrics.jsonl` by column. */
export interface Metrics {
  readonly steps: readonly number[];
  /** One number for each step by name; NaN where there is none. */
  readonly columns: ReadonlyMap<string, readonly number[]>;
}

/** A line of `faults.jsonl`. */
export interface Fault {
  readonly step: number;
  readonly stage?: string;
  readonly op?: string;
  readonly shape?: readonly number[];
  readonly policy?: string;
  readonly back_to?: number;
}

/** `run.json`. */
export interface RunDetails {
  readonly command?: string;
  readonly adapter?: string;
  readonly deno?: string;
  readonly started?: string;
  readonly seed?: number;
  readonly images?: number;
  readonly valImages?: number;
  readonly parameters?: { readonly trained?: number; readonly frozen?: number };
  readonly batch?: { readonly micro?: number; readonly effective?: number; readonly rate?: number };
  /** Optimizer steps that the run is to do. */
  readonly steps?: number;
  readonly dispatches?: number;
  readonly memory?: {
    readonly peakBytes?: number;
    readonly parts?: readonly { readonly name: string; readonly bytes: number }[];
    readonly stages?: readonly { readonly stage: string; readonly bytes: number }[];
  };
  readonly profile?: Profile | null;
  /** How the run ended, after which step; missing while it runs. */
  readonly ended?: {
    readonly how: "finished" | "interrupted" | "failed";
    readonly reason?: string;
    readonly step: number;
  };
  readonly warnings?: readonly string[];
}

/**
 * Reads the folder of a run.
 *
 * @throws {Error} If there is no recipe, no metrics, or a file is damaged; the message names the
 *   file. A torn last line, as a killed run leaves it, is passed over.
 */
export async function readRun(folder: string): Promise<RunRecord> {
  const read = Date.now();
  const metricsPath = `${folder}/metrics.jsonl`;
  const recipe = objectOf(`${folder}/recipe.json`, await textOf(`${folder}/recipe.json`));
  const metrics = columnsOf(linesOf(metricsPath, await textOf(metricsPath)));
  if (metrics.steps.length === 0) throw new Error(`Cannot read ${metricsPath}: it holds no step`);
  const faultsPath = `${folder}/faults.jsonl`;
  const faults = linesOf(faultsPath, await textOf(faultsPath, ""));
  return {
    name: basename(resolve(folder)),
    folder,
    recipe,
    metrics,
    faults: faults.filter(({ step }) => typeof step === "number") as unknown as Fault[],
    badFiles: badFilesOf(await textOf(`${folder}/bad_files.txt`, "")),
    panels: await readPanels(`${folder}/panels`, samplesOf(recipe)),
    animation: await readAnimation(`${folder}/reconstruction.webp`),
    details: detailsOf(await textOf(`${folder}/run.json`, "{}")),
    written: (await Deno.stat(metricsPath)).mtime?.getTime() ?? read,
    read,
  };
}

/** What a recipe trains on: a model of clips says how many frames they have. */
export function samplesOf({ model }: Settings): Samples {
  return typeof model === "object" && model !== null && "frames" in model ? "clips" : "images";
}

/** @param missing What a file that is not there holds; without it, there must be one. */
async function textOf(path: string, missing?: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    const absent = cause instanceof Deno.errors.NotFound;
    if (absent && missing !== undefined) return missing;
    const reason = absent ? "there is no such file" : (cause as Error).message;
    throw new Error(`Cannot read ${path}: ${reason}`, { cause });
  }
}

function objectOf(path: string, text: string): Settings {
  try {
    const value = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (cause) {
    throw new Error(`Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  throw new Error(`Cannot read ${path}: it holds no settings`);
}

/** Objects of a file, one a line. */
function linesOf(path: string, text: string): Settings[] {
  const lines = text.split("\n");
  const torn = lines.pop()!; // nothing, unless the run was killed while it wrote
  const whole = lines.flatMap((line, i) =>
    line.trim() === "" ? [] : [objectOf(`${path}, line ${i + 1}`, line)]
  );
  try {
    return [...whole, ...torn === "" ? [] : [objectOf(path, torn)]];
  } catch {
    return whole;
  }
}

/** Lines by column. A step that was done again, after a rewind, counts as it was done last. */
function columnsOf(lines: readonly Settings[]): Metrics {
  const kept: Settings[] = [];
  for (const line of lines) {
    if (typeof line.step !== "number") continue;
    while (kept.length > 0 && kept.at(-1)!.step as number >= line.step) kept.pop();
    kept.push(line);
  }
  const columns = new Map<string, number[]>();
  kept.forEach((line, row) => {
    for (const [name, value] of Object.entries(line)) {
      if (name === "step" || typeof value !== "number") continue;
      const column = columns.get(name) ?? new Array<number>(kept.length).fill(NaN);
      column[row] = value;
      columns.set(name, column);
    }
  });
  return { steps: kept.map(({ step }) => step as number), columns };
}

function badFilesOf(text: string): (readonly [string, string])[] {
  return text.split("\n").filter((line) => line !== "").map((line) => {
    const at = line.indexOf("\t");
    return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
  });
}

/** A damaged `run.json` costs the report no more than what is in it. */
function detailsOf(text: string): RunDetails {
  try {
    return objectOf("run.json", text);
  } catch (error) {
    return { warnings: [(error as Error).message] };
  }
}
