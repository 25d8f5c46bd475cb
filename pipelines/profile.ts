/**
 * Where the time of a step goes.
 *
 * @module
 */
import type { Timing } from "../src/plan/launch.ts";

/** Times of a step, by stage and by op, as means over the profiled steps. */
export interface Profile {
  readonly steps: number;
  readonly milliseconds: number;
  readonly stages: readonly { readonly stage: string; readonly milliseconds: number }[];
  /** Equal ops together, the slowest first. */
  readonly ops: readonly {
    readonly op: string;
    readonly stage: string;
    readonly shape: readonly number[];
    /** Launches a step. */
    readonly count: number;
    readonly milliseconds: number;
  }[];
}

/** Times of every launch of some steps. */
export interface Profiled {
  readonly steps: number;
  readonly timings: readonly Timing[];
}

/** Sums the times of every launch; null if there are none, as without timestamp queries. */
export function profileOf({ timings, steps }: Profiled): Profile | null {
  if (timings.length === 0) return null;
  const total = (list: readonly Timing[]) =>
    list.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / steps;
  const stages = Map.groupBy(timings, ({ stage }) => stage ?? "other");
  const ops = Map.groupBy(timings, ({ op, stage, shape }) => `${op} ${stage} ${shape}`);
  return {
    steps,
    milliseconds: total(timings),
    stages: [...stages].map(([stage, list]) => ({ stage, milliseconds: total(list) })),
    ops: [...ops.values()].map((list) => ({
      op: list[0].op,
      stage: list[0].stage ?? "other",
      shape: list[0].shape,
      count: list.length / steps,
      milliseconds: total(list),
    })).sort((a, b) => b.milliseconds - a.milliseconds),
  };
}

/** Tables for people: stages, then the 15 slowest ops. */
export function profileText(profiled: Profiled): string {
  const profile = profileOf(profiled);
  if (!profile) return "Profile: this adapter has no timestamp queries";
  const { steps, milliseconds: all, stages, ops } = profile;
  const line = (milliseconds: number, what: string) =>
    `${milliseconds.toFixed(2).padStart(10)} ms ${
      (100 * milliseconds / all).toFixed(1).padStart(5)
    } %  ${what}`;
  return [
    `Profile: ${all.toFixed(2)} ms a step on the device, mean of ${steps} step${
      steps === 1 ? "" : "s"
    }`,
    ...stages.map(({ stage, milliseconds }) => line(milliseconds, stage)),
    "",
    ...ops.slice(0, 15).map(({ op, stage, shape, count, milliseconds }) => {
      const short = op.length > 48 ? `${op.slice(0, 47)}…` : op;
      return line(milliseconds, `${count} × ${short} [${shape.join(", ")}] in ${stage}`);
    }),
  ].join("\n");
}
