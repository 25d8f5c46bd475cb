/**
 * A run from its first step to its last: the training loop with checkpoints, faults, journals and
 * reports. Every task goes through here.
 *
 * @module
 */
import { DeviceError, MemoryError } from "../src/device.ts";
import type { Params } from "../src/optim.ts";
import {
  type Best,
  type Checkpoint,
  type ModelMetadata,
  readCheckpoint,
  writeCheckpoint,
} from "./checkpoints.ts";
import { NonFiniteError } from "./finite.ts";
import { openJournal } from "./journal.ts";
import type { Progress } from "./progress.ts";
import type { RunSettings } from "./recipe.ts";
import { FILES, writeWhole } from "./run_folder.ts";
import type { Ended } from "./run_info.ts";
import { type EventLog, openEvents } from "./tensorboard.ts";
import { initialWeights, type Place, type StepMetrics, type Task, type Trainer } from "./train.ts";

/** A line of `metrics.jsonl`. */
export interface MetricsLine {
  readonly step: number;
  /** Passes over the data up to the end of the step. */
  readonly epoch: number;
  /** Null where the step was left out. */
  readonly loss: number | null;
  readonly lr: number;
  readonly grad_norm: number | null;
  readonly images_per_s: number | null;
  readonly data_wait: number | null;
  /** Figures of a validation after the step. */
  readonly val_loss?: number;
  readonly [name: string]: number | null | undefined;
}

/** A line of `faults.jsonl`. */
interface FaultLine {
  readonly step: number;
  readonly stage: string;
  readonly op?: string;
  readonly shape?: readonly number[];
  readonly policy: RunSettings["faults"]["policy"];
  /** Step from which the run went on. */
  readonly back_to?: number;
}

/** A picture of what the model does now. */
export interface Panel {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** How a run is kept and watched. */
export interface FitOptions<P extends Params> {
  readonly folder: string;
  readonly recipe: Pick<RunSettings, "seed" | "checkpoint" | "faults" | "report">;
  /** Images an epoch. */
  readonly images: number;
  /** Where to go on; from the task's own weights if left out. */
  readonly checkpoint?: Checkpoint<P>;
  /** Ends the run after the step that is under way. */
  readonly signal?: AbortSignal;
  /** Steps to time op by op; one if left out. */
  readonly profile?: number;
  /** Is called when they are timed. */
  readonly onProfile?: () => Promise<void>;
  /** Tells the data of this run from others'; kept in its checkpoints. */
  readonly data?: string;
  /** What files of the model say of it. */
  readonly model?: ModelMetadata;
  /** Bad files met so far, with the reason. */
  readonly badFiles?: ReadonlyMap<string, string>;
  /**
   * Figures at a checkpoint; `val_miou`, `val_box_ap`, `val_top1` or `val_loss`, the first that is there,
   * decides which is the best.
   */
  readonly validate?: () => Promise<Readonly<Record<string, number>>>;
  /** Draws the panels of a step and keeps them in the folder. */
  readonly draw?: (step: number) => Promise<Panel>;
  /** Writes the report; the journals are up to date, and the run has ended if it says how. */
  readonly report?: (ended?: Ended) => Promise<unknown>;
  readonly progress?: Progress;
  /** Says what did not stop the run. */
  readonly warn?: (message: string) => void;
}

/** How a run ended. */
export interface Fitted {
  readonly place: Place;
  readonly metrics: readonly MetricsLine[];
  /** Loss of every step that has one. */
  readonly losses: readonly number[];
  readonly faults: number;
}

/**
 * Trains to the end, or until the signal.
 *
 * What cannot be written (a full disk) is told and tried again; training goes on.
 *
 * @throws {NonFiniteError} Under the policy `stop`, or at one fault more than the recipe bears.
 * @throws {DeviceError | MemoryError} If the device fails; says which checkpoint is safe.
 * @throws {Error} If the last checkpoint cannot be written.
 */
export async function fit<P extends Params, Batch extends Params>(
  task: Task<P, Batch>,
  trainer: Trainer<P>,
  options: FitOptions<P>,
): Promise<Fitted> {
  const { folder, recipe, images, checkpoint, signal, badFiles, progress } = options;
  const { warn = console.error } = options;
  const every = recipe.checkpoint.every;
  const initial = initialWeights(task);
  let place: Place = checkpoint ?? { step: 0, position: 0 };
  let best: Best | undefined = checkpoint?.best;
  let saved = checkpoint?.step ?? -1;
  let shown = -1;
  let named = 0; // bad files
  const profile = options.profile ?? 1;
  let isProfiled = false;
  const metrics = await openJournal<MetricsLine>(`${folder}/${FILES.metrics}`, place.step);
  const faults = await openJournal<FaultLine>(`${folder}/${FILES.faults}`, place.step);
  let events: EventLog = await openEvents(folder, place.step);

  const told = new Set<string>();
  const attempt = async (write: () => Promise<unknown>): Promise<boolean> => {
    try {
      await write();
      return true;
    } catch (error) {
      if (error instanceof DeviceError || error instanceof MemoryError) throw error;
      const { message } = error as Error;
      if (!told.has(message)) warn(`${message}; training goes on`);
      told.add(message);
      return false;
    }
  };

  const log = async (lines: readonly MetricsLine[]) => {
    for (const { step, ...values } of lines) events.scalars(step, scalarsOf(values));
    await attempt(() => metrics.append(lines));
    await attempt(() => events.flush());
    if (badFiles && badFiles.size > named) {
      named = badFiles.size;
      const text = [...badFiles].sort().map(([file, reason]) => `${file}\t${reason}\n`).join("");
      await attempt(() => writeWhole(`${folder}/${FILES.badFiles}`, text));
    }
  };

  const save = async (isScheduled: boolean) => {
    const { step, position } = place;
    const bestNow = isScheduled ? better(best, metrics.lines, step, every) : best;
    await metrics.sync();
    const weights = await trainer.snapshot();
    const { data, model } = options;
    await writeCheckpoint(folder, recipe, { step, position, weights, best: bestNow, data }, model);
    saved = step;
    best = bestNow;
  };

  const show = async (ended?: Ended) => {
    const { step } = place;
    await attempt(async () => {
      const panel = shown === step ? undefined : await options.draw?.(step);
      if (panel) events.image(step, "reconstruction", panel.png, panel.width, panel.height);
      shown = step;
      await events.flush();
      await options.report?.(ended);
    });
  };

  /** The last checkpoint and report, whatever ended the run. */
  const close = async (how: Ended["how"], reason?: string) => {
    if (saved !== place.step) {
      if (how === "failed") await attempt(() => save(false));
      else await save(false);
    }
    await show({ how, reason, step: place.step });
  };

  /** Validates; where that fails, nothing that was learnt is lost. */
  const measure = async () => {
    try {
      return await options.validate?.();
    } catch (error) {
      if (!(error instanceof DeviceError || error instanceof MemoryError)) {
        await attempt(() => save(false));
      }
      throw error;
    }
  };

  const recover = async (error: NonFiniteError): Promise<Place> => {
    const { step, position, stage, location } = error;
    const { policy, limit } = recipe.faults;
    const gives = policy === "stop" || faults.lines.length >= limit;
    const back = !gives && policy === "rewind"
      ? await readCheckpoint(folder, initial, warn) ?? { step: 0, position: 0, weights: initial }
      : undefined;
    const line = {
      ...{ step, stage: location?.stage ?? stage, op: location?.op, shape: location?.shape },
      policy,
    };
    await attempt(() => faults.append([{ ...line, ...(back && { back_to: back.step }) }]));
    if (gives) {
      const cause = policy === "stop" ? "" : ` (faults.limit = ${limit} is reached)`;
      error.message += `${cause}; resume with faults.policy=skip or rewind, or a lower rate`;
      throw error;
    }
    const nth = `fault ${faults.lines.length} of ${limit}`;
    if (!back) {
      warn(`${error.message}; its update is left out (${nth})`);
      const none = { loss: null, grad_norm: null, images_per_s: null, data_wait: null };
      await log([{ step, epoch: epochs(position, images), lr: task.rate(step - 1), ...none }]);
      return { step, position };
    }
    warn(`${error.message}; going back to step ${back.step}, on with other samples (${nth})`);
    trainer.load(back.weights);
    best = "best" in back ? back.best : undefined;
    await attempt(() => metrics.cut(back.step));
    await attempt(() => events.close());
    events = await openEvents(folder, back.step);
    return { step: back.step, position };
  };

  const isDue = (step: number, period: number) => step === task.steps || step % period === 0;
  const pauses = (step: number) => isDue(step, every) || isDue(step, recipe.report.every);
  const train = async () => {
    const rest = profile - trainer.profiled.steps;
    for await (const group of trainer.run({ from: place, pauses, signal, profile: rest })) {
      const last = group.at(-1)!;
      place = { step: last.step, position: last.position };
      const isScheduled = isDue(last.step, every);
      const figures = isScheduled ? await measure() : undefined;
      const lines = group.map((one) => lineOf(one, images));
      await log([...lines.slice(0, -1), { ...lines.at(-1)!, ...figures }]);
      progress?.update(last);
      const { steps } = trainer.profiled;
      if (!isProfiled && steps > 0 && (steps >= profile || last.step === task.steps)) {
        isProfiled = true;
        await attempt(async () => await options.onProfile?.());
      }
      if (isScheduled) await attempt(() => save(true));
      if (last.step < task.steps && isDue(last.step, recipe.report.every)) await show();
    }
  };

  try {
    for (;;) {
      try {
        await train();
        break;
      } catch (error) {
        if (!(error instanceof NonFiniteError)) throw error;
        place = await recover(error);
      }
    }
    await close(place.step < task.steps ? "interrupted" : "finished");
  } catch (error) {
    if (!(error instanceof DeviceError || error instanceof MemoryError)) {
      const { message } = error as Error;
      if (error instanceof NonFiniteError) await close("failed", message);
      else {await attempt(async () =>
          await options.report?.({ how: "failed", reason: message, step: place.step })
        );}
      throw error;
    }
    const safe = saved < 0
      ? "nothing was saved yet"
      : `the checkpoint of step ${saved} is safe, and --resume goes on from it`;
    const Kind = error instanceof MemoryError ? MemoryError : DeviceError;
    const reason = error.message;
    await options.report?.({ how: "failed", reason, step: place.step }).catch(() => {});
    throw new Kind(
      `${error.message}; ${safe}; if memory ran out, lower batch.micro = ${task.microBatch}`,
      { cause: error },
    );
  } finally {
    await events.close().catch(() => {}); // told already
  }
  const losses = metrics.lines.map(({ loss }) => loss).filter((loss) => loss !== null);
  return { place, metrics: metrics.lines, losses, faults: faults.lines.length };
}

function lineOf(
  { step, position, loss, terms, lr, gradNorm, imagesPerSecond, dataWait }: StepMetrics,
  images: number,
): MetricsLine {
  return {
    step,
    epoch: epochs(position, images),
    loss,
    ...Object.fromEntries(Object.entries(terms).map(([name, part]) => [`loss_${name}`, part])),
    lr,
    grad_norm: gradNorm,
    images_per_s: Number(imagesPerSecond.toFixed(2)),
    data_wait: Number(dataWait.toFixed(4)),
  };
}

function epochs(position: number, images: number): number {
  return Number((position / images).toFixed(4));
}

function scalarsOf(values: Partial<MetricsLine>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, number] => Number.isFinite(entry[1])),
  );
}

/** The better of a checkpoint and the best before: by validation, else by the mean loss up to it. */
function better(
  best: Best | undefined,
  lines: readonly MetricsLine[],
  step: number,
  window: number,
): Best | undefined {
  const recent = lines.filter((line) => line.step > step - window && line.step <= step);
  const losses = recent.map(({ loss }) => loss).filter((loss) => loss !== null);
  const last = recent.at(-1);
  const right = last?.val_miou ?? last?.val_box_ap ?? last?.val_top1 ?? undefined;
  const error = right === undefined ? undefined : 1 - right;
  const loss = error ?? last?.val_loss ??
    losses.reduce((sum, x) => sum + x, 0) / losses.length; // NaN if there is none
  return Number.isFinite(loss) && !(best && loss >= best.loss) ? { step, loss } : best;
}
