/**
 * Checkpoints of a run: all that is state, in one file a step, written so that a process killed at
 * any moment leaves whole files only.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { CheckpointError, fromSafetensors, toSafetensors } from "../src/checkpoint.ts";
import type { EncoderSettings, VideoEncoderSettings } from "../src/models/encoder.ts";
import type { Params } from "../src/optim.ts";
import {
  loadSafetensors,
  type Safetensor,
  type Safetensors,
  writeSafetensors,
} from "../src/safetensors.ts";
import type { RunSettings, SampleSettings } from "./recipe.ts";
import { exists, FILES } from "./run_folder.ts";
import type { Place, Weights } from "./train.ts";

/** The step with the lowest loss, and that loss. */
export interface Best {
  readonly step: number;
  readonly loss: number;
}

/** What files of the model say of it: `model`, `mean`, `std`, `cropPct`, `classes`, each as JSON. */
export type ModelMetadata = Readonly<Record<string, string>>;

/** What to say of a model: how its images are read, and the names of its classes. */
export function describeModel(
  settings: EncoderSettings | VideoEncoderSettings,
  { mean, std, cropPct = null }: Pick<SampleSettings, "mean" | "std"> & {
    readonly cropPct?: number | null;
  },
  classNames?: readonly string[],
): ModelMetadata {
  return {
    model: JSON.stringify(settings),
    mean: JSON.stringify(mean),
    std: JSON.stringify(std),
    ...(cropPct !== null && { cropPct: JSON.stringify(cropPct) }),
    ...(classNames && { classes: JSON.stringify(classNames) }),
  };
}

/** Where a run stands, with all that it needs to go on. */
export interface Checkpoint<P extends Params = Params> extends Place {
  readonly weights: Weights<P>;
  readonly best?: Best;
  /** Tells the run's data from others'. */
  readonly data?: string;
}

/**
 * Writes a checkpoint, then the model alone, then drops old checkpoints.
 *
 * @param recipe Kept in the file: its `checkpoint.keep` latest ones and the best stay.
 * @throws {Error} If a file cannot be written: the message names it, and the checkpoints before are
 * as they were.
 */
export async function writeCheckpoint(
  folder: string,
  recipe: Pick<RunSettings, "seed" | "checkpoint">,
  checkpoint: Checkpoint,
  model: ModelMetadata = {},
): Promise<void> {
  const { step, position, weights: { params, state, ema }, best, data } = checkpoint;
  await Deno.mkdir(`${folder}/${FILES.states}`, { recursive: true });
  const tensors = [
    ...toSafetensors(params, "model."),
    ...toSafetensors(state, "optimizer."),
    ...(ema ? toSafetensors(ema, "ema.") : []),
  ];
  await writeSafetensors(pathOf(folder, step), tensors, {
    ...modelMetadata(step, model),
    ...{ position: String(position), seed: String(recipe.seed), recipe: JSON.stringify(recipe) },
    ...(best && { best: JSON.stringify(best) }),
    ...(data && { data }),
    sha256: digestOf(tensors),
  });
  await writeModels(folder, checkpoint, model);
  const steps = await stepsIn(folder);
  for (const old of steps.slice(0, -recipe.checkpoint.keep)) {
    if (old !== best?.step) await Deno.remove(pathOf(folder, old));
  }
}

/** Writes the model alone, under PyTorch's names, and its average and best where they are new. */
export async function writeModels(
  folder: string,
  { step, weights: { params, ema }, best }: Checkpoint,
  about: ModelMetadata = {},
): Promise<void> {
  const metadata = modelMetadata(step, about);
  const model = toSafetensors(params);
  await writeSafetensors(`${folder}/${FILES.checkpoint}`, model, metadata);
  if (ema) {
    const averages = new Map(toSafetensors(ema));
    const averaged = model.map(([name, own]) => [name, averages.get(name) ?? own] as const);
    await writeSafetensors(`${folder}/${FILES.ema}`, averaged, metadata);
  }
  if (best?.step === step) await writeSafetensors(`${folder}/${FILES.best}`, model, metadata);
}

/** Metadata without a clock, so that equal runs write equal bytes. */
function modelMetadata(step: number, model: ModelMetadata): Record<string, string> {
  return { format: "pt", ...model, step: String(step) };
}

/**
 * Reads the latest checkpoint of a run.
 *
 * @param like Weights of the recipe's model.
 * @param warn Is told of a file that is damaged, in the place of which an older one is read.
 * @returns Undefined if the run has saved nothing yet.
 * @throws {CheckpointError} If there are checkpoints, but none is of this model and whole.
 */
export async function readCheckpoint<P extends Params>(
  folder: string,
  like: Weights<P>,
  warn: (message: string) => void = () => {},
): Promise<Checkpoint<P> | undefined> {
  const steps = await stepsIn(folder);
  for (const step of steps.toReversed()) {
    const path = pathOf(folder, step);
    try {
      const file = await loadSafetensors(path);
      if (file.metadata.sha256 !== digestOf(file.tensors)) {
        throw new Error(`Cannot read ${path}: its values are not those that were written`);
      }
      return naming(path, () => parse(file, like));
    } catch (error) {
      // Another model is the user's mistake; a damaged file is nobody's.
      if (error instanceof CheckpointError || step === steps[0]) throw error;
      warn(`${(error as Error).message}; going back to the checkpoint before`);
    }
  }
  if (await exists(`${folder}/${FILES.checkpoint}`)) {
    // From the start it would overwrite what was learnt.
    throw new CheckpointError(`Cannot resume ${folder}: it has no ${FILES.states}`);
  }
}

/**
 * Removes what a killed process left half done, and checkpoints and panels beyond a step.
 *
 * @param panels Whether the panels up to the step are of this run's images.
 */
export async function tidy(folder: string, step: number, panels = true): Promise<void> {
  const keep = { ".": step, [FILES.states]: step, [FILES.panels]: panels ? step : -1 };
  for (const [sub, last] of Object.entries(keep)) {
    if (!await exists(`${folder}/${sub}`)) continue;
    for await (const { name } of Deno.readDir(`${folder}/${sub}`)) {
      const [, number] = name.match(/^step-(\d+)\./) ?? [];
      const isBeyond = number !== undefined && Number(number) > last;
      if (name.endsWith(".tmp") || isBeyond) await Deno.remove(`${folder}/${sub}/${name}`);
    }
  }
}

/** SHA-256 of all values with their names: a bad disk changes bits in silence. */
function digestOf(tensors: Iterable<readonly [string, Safetensor]>): string {
  const hash = createHash("sha256");
  for (const [name, { data }] of tensors) {
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

/** `step-000100`, so that names sort by step. */
export function stepName(step: number): string {
  return `step-${String(step).padStart(6, "0")}`;
}

function pathOf(folder: string, step: number): string {
  return `${folder}/${FILES.states}/${stepName(step)}.safetensors`;
}

/** Whether a run has saved anything to go on from. */
export async function hasCheckpoint(folder: string): Promise<boolean> {
  return (await stepsIn(folder)).length > 0;
}

/** Steps that have a checkpoint, ascending. */
async function stepsIn(folder: string): Promise<number[]> {
  const steps: number[] = [];
  if (!await exists(`${folder}/${FILES.states}`)) return steps;
  for await (const { name } of Deno.readDir(`${folder}/${FILES.states}`)) {
    const [, step] = name.match(/^step-(\d+)\.safetensors$/) ?? [];
    if (step !== undefined) steps.push(Number(step));
  }
  return steps.sort((a, b) => a - b);
}

function parse<P extends Params>(
  file: Safetensors,
  { params, state, ema }: Weights<P>,
): Checkpoint<P> {
  const { step, position, best, data } = file.metadata;
  if (!/^\d+$/.test(step) || !/^\d+$/.test(position)) {
    throw new CheckpointError("its metadata name no step or position");
  }
  return {
    step: Number(step),
    position: Number(position),
    ...(best && { best: JSON.parse(best) }),
    ...(data && { data }),
    weights: {
      params: fromSafetensors(file, params, "model."),
      state: fromSafetensors(file, state, "optimizer."),
      ...(ema && { ema: fromSafetensors(file, ema, "ema.") }),
    },
  };
}

function naming<Result>(path: string, read: () => Result): Result {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof CheckpointError)) throw cause;
    throw new CheckpointError(`Cannot use ${path}: ${cause.message}`, { cause });
  }
}
