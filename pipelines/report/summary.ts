/** A run in a few numbers, and numbers as text. */
import type { RunDetails, RunRecord, Settings } from "./record.ts";
import { lastMean } from "./series.ts";

/** How a run stands. */
export interface Summary {
  readonly state: "finished" | "interrupted" | "failed" | "running" | "stopped";
  /** The last step that was done. */
  readonly step: number;
  /** Steps to do, if that is known. */
  readonly steps?: number;
  /** Steps without a loss: their updates were left out. */
  readonly leftOut: number;
  readonly epoch?: number;
  /** Mean over the last steps; NaN if no loss was finite. */
  readonly loss: number;
  /** Steps that `loss` is the mean of. */
  readonly lossSpan: number;
  /** Of the last step that has one; NaN if none has. */
  readonly valLoss: number;
  /** Share of images, of the last step that has one; NaN if none has. */
  readonly valTop1: number;
  readonly valMiou: number;
  readonly valBoxAp: number;
  readonly imagesPerSecond: number;
  /** Of all steps, by their throughput; NaN if that is unknown. */
  readonly seconds: number;
}

/** Steps that figures of now are means of, at most. */
export const RECENT = 20;

/** A run that has written nothing for so long, in milliseconds, goes on no more. */
const SILENCE = 10 * 60_000;

/** Sums a run up. */
export function summarise({ recipe, metrics, details, written, read }: RunRecord): Summary {
  const column = (name: string) => metrics.columns.get(name) ?? [];
  const { steps, ended } = details;
  const step = ended?.step ?? metrics.steps.at(-1)!;
  const isDone = steps !== undefined && step >= steps;
  const guess = isDone ? "finished" : read - written < SILENCE ? "running" : "stopped";
  const losses = column("loss").filter(Number.isFinite);
  const effective = details.batch?.effective ??
    (recipe.batch as Settings | undefined)?.effective as number | undefined;
  const times = column("images_per_s").filter((rate) => rate > 0)
    .map((rate) => (effective ?? NaN) / rate);
  const epoch = lastMean(column("epoch"), 1);
  return {
    state: ended?.how ?? guess,
    step,
    steps,
    leftOut: metrics.steps.length - losses.length,
    epoch: Number.isNaN(epoch) ? undefined : epoch,
    loss: lastMean(losses, RECENT),
    lossSpan: Math.min(RECENT, losses.length),
    valLoss: lastMean(column("val_loss"), 1),
    valTop1: lastMean(column("val_top1"), 1),
    valMiou: lastMean(column("val_miou"), 1),
    valBoxAp: lastMean(column("val_box_ap"), 1),
    imagesPerSecond: lastMean(column("images_per_s"), RECENT),
    seconds: times.reduce((sum, time) => sum + time, 0) / times.length * metrics.steps.length,
  };
}

/** Where a run stands, in words. */
export function stateText({ state, step, steps }: Summary): string {
  if (state === "finished") return `finished after ${countText(step)} steps`;
  const ofSteps = steps === undefined ? "" : ` of ${countText(steps)}`;
  const at = {
    running: "at",
    interrupted: "interrupted at",
    failed: "stopped at",
    stopped: "stopped at",
  };
  return `${at[state]} step ${countText(step)}${ofSteps}`;
}

/** How many steps gave nothing, in words; nothing if all did. */
export function leftOutText({ leftOut }: Summary): string {
  if (leftOut === 0) return "";
  return leftOut === 1 ? "1 step left out" : `${countText(leftOut)} steps left out`;
}

const grouped = new Intl.NumberFormat("en");

/** What was counted, by thousands: `1,234,567`; – for none. */
export function countText(count: number | undefined): string {
  return count === undefined || !Number.isFinite(count) ? "–" : grouped.format(count);
}

/** What was measured, with four digits: `0.4200`, `12,350`, `7.199e19`; – for none. */
export function numberText(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  const rounded = Number(value.toPrecision(4));
  const size = Math.abs(rounded);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return exponentText(rounded);
  return Number.isInteger(value) || size >= 1e4 ? grouped.format(rounded) : value.toPrecision(4);
}

/** A share with one decimal: `84.2 %`; – for none. */
export function percentText(share: number): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "–";
}

/** At most four digits and an exponent: `7.2e19`. */
export function exponentText(value: number): string {
  return Number(value.toPrecision(4)).toExponential().replace("+", "");
}

/** Images a second with three digits; – for none. */
export function rateText(rate: number): string {
  if (!Number.isFinite(rate)) return "–";
  return rate >= 100 ? numberText(Math.round(rate)) : rate.toPrecision(3);
}

/** Bytes as MiB or GiB; – for none. */
export function bytesText(bytes: number | undefined): string {
  if (bytes === undefined) return "–";
  const [size, unit] = bytes < 2 ** 20
    ? [bytes / 2 ** 10, "KiB"]
    : bytes < 2 ** 30
    ? [bytes / 2 ** 20, "MiB"]
    : [bytes / 2 ** 30, "GiB"];
  return `${size >= 100 ? size.toFixed(0) : size.toPrecision(3)} ${unit}`;
}

/** Seconds as `48 s`, `3 min 05 s`, `1 h 20 min` or `4 d 7 h`; – for none. */
export function durationText(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  const whole = Math.round(seconds);
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(whole % 3600 / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor(whole % 86_400 / 3600)} h`;
}

/** Milliseconds since 1970 as `2026-11-23 08:20 UTC`. */
export function timeText(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** When a run began, if that is known. */
export function startText({ started }: RunDetails): string | undefined {
  const time = Date.parse(started ?? "");
  return Number.isNaN(time) ? started : timeText(time);
}
