/**
 * What a report tells of a run besides its recipe and metrics: adapter, sizes, memory, times.
 *
 * @module
 */
import type { Device } from "../src/device.ts";
import type { Params } from "../src/optim.ts";
import { sizeOf, type Tensor } from "../src/tensor.ts";
import { leaves } from "../src/tree.ts";
import type { ImageSplits } from "./images.ts";
import { peakRate } from "./pretrain.ts";
import { profileOf } from "./profile.ts";
import type { RunSettings } from "./recipe.ts";
import { FILES, writeWhole } from "./run_folder.ts";
import type { Trainer } from "./train.ts";
import { split, type Task } from "./train_step.ts";

/** Numbers of parameters that a task trains, and does not. */
export function countParameters<Batch extends Params>(
  { params, ...roles }: Pick<Task<Params, Batch>, "params" | "frozen" | "running">,
): { trained: number; frozen: number } {
  const parts = split(params, roles);
  const size = (tree: Params) =>
    leaves<Tensor>(tree).reduce((n, { shape }) => n + sizeOf(shape), 0);
  return { trained: size(parts.trainable), frozen: size(parts.frozen) };
}

/** What is known before the first step. */
export function runInfo<Batch extends Params>(
  command: string,
  device: Device,
  recipe: RunSettings,
  { train, val }: ImageSplits,
  task: Task<Params, Batch>,
  { peakBytes, memory, stages, dispatches }: Trainer<Params>,
) {
  return {
    command,
    adapter: device.name,
    deno: Deno.version.deno,
    started: new Date().toISOString(),
    seed: recipe.seed,
    images: train.length,
    valImages: val?.length ?? 0,
    parameters: countParameters(task),
    batch: { ...recipe.batch, rate: peakRate(recipe) },
    steps: task.steps,
    dispatches,
    memory: { peakBytes, parts: memory, stages },
  };
}

/** How a run ended. */
export interface Ended {
  readonly how: "finished" | "interrupted" | "failed";
  readonly reason?: string;
  /** Steps done. */
  readonly step: number;
}

/** Writes `run.json`. */
export async function writeRunInfo(
  folder: string,
  about: ReturnType<typeof runInfo>,
  { profiled }: Pick<Trainer<Params>, "profiled">,
  more: { readonly warnings?: readonly string[]; readonly ended?: Ended } = {},
): Promise<void> {
  const text = JSON.stringify({ ...about, profile: profileOf(profiled), ...more }, null, 2);
  await writeWhole(`${folder}/${FILES.run}`, `${text}\n`);
}
