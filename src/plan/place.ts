/**
 * Where the values of a plan go: whether a result takes over an argument's buffer, gets its own, or a
 * value a slot. Pure: `buffers.ts` makes buffers of it.
 *
 * @module
 */
import { bytesOf, sizeOf } from "../tensor.ts";
import type { Group } from "./fuse.ts";
import { isFull } from "./map.ts";
import { assignSlots, liveBytes } from "./memory.ts";
import type { Graph } from "./trace.ts";

/** Where a value lies. */
export type Home =
  | { readonly kind: "source" } // it was given
  | { readonly kind: "argument"; readonly index: number } // it takes over an argument's buffer
  | { readonly kind: "own" } // a result that has a buffer of its own
  | { readonly kind: "slot"; readonly slot: number };

/** A value that was asked for, and the argument whose buffer it is to take over; −1 for none. */
export interface Outcome {
  readonly value: number;
  readonly argument: number;
}

/** Where all values of a graph lie. */
export interface Placement {
  /** By value; undefined for what lives inside of a fused kernel only. */
  readonly homes: readonly (Home | undefined)[];
  /** Bytes of each slot. */
  readonly slots: readonly number[];
  /** For each group, which output overwrites which input. */
  readonly inPlace: readonly ReadonlyMap<number, number>[];
  /** Results that are copied to an argument's buffer at the end. */
  readonly copies: readonly {
    readonly result: number;
    readonly from: number;
    readonly to: number;
  }[];
  /** Arguments asked for as results: copied before a step overwrites them or the next run rebinds them. */
  readonly kept: ReadonlySet<number>;
  /** Bytes that values between hold at each group. */
  readonly live: readonly number[];
}

/** Bytes that values between hold in a stage. */
export interface StageBytes {
  readonly stage: string;
  readonly bytes: number;
}

/** The values of arguments that a graph reads, by the arguments' places. */
export function valuesOfArguments({ values }: Graph): Map<number, number> {
  const found = new Map<number, number>();
  values.forEach(({ source }, value) => {
    if (source?.kind === "argument") found.set(source.index, value);
  });
  return found;
}

/**
 * Places results and values between.
 *
 * @param unbound Values that need no memory, since no launch binds them.
 */
export function place(
  graph: Graph,
  groups: readonly Group[],
  results: readonly Outcome[],
  unbound: ReadonlySet<number> = new Set(),
): Placement {
  const { values } = graph;
  const first = new Map<number, number>();
  const last = new Map<number, number>();
  groups.forEach((group, i) => {
    for (const { value } of group.inputs) last.set(value, i);
    for (const value of group.outputs) {
      first.set(value, i);
      if (!last.has(value)) last.set(value, i);
    }
  });
  const inPlace = groups.map(() => new Map<number, number>()); // per group: output → input
  const overwritable = (group: Group, value: number) =>
    group.operands.some((operand) =>
      operand.value === value && isFull(operand.shape, sizeOf(group.maps[0].op.outputs[0].shape))
    ) && !group.kernel?.inputs.some((input) => input.value === value);

  const homes = values.map(({ source }): Home | undefined => source && { kind: "source" });
  const valueOfArgument = valuesOfArguments(graph);
  const copies: { result: number; from: number; to: number }[] = [];
  const kept = new Set<number>();
  results.forEach(({ value, argument }, result) => {
    const donor = valueOfArgument.get(argument);
    if (values[value].source?.kind === "argument" && donor !== value) kept.add(value);
    if (argument >= 0 && donor !== value) {
      const made = first.get(value);
      const free = donor === undefined || (last.get(donor) ?? -1) < (made ?? -1);
      const over = donor !== undefined && last.get(donor) === made && made !== undefined &&
        overwritable(groups[made], donor);
      if (made !== undefined && homes[value] === undefined && (free || over)) {
        homes[value] = { kind: "argument", index: argument };
        if (!free) inPlace[made].set(value, donor!);
      } else copies.push({ result, from: value, to: argument });
    }
    homes[value] ??= { kind: "own" };
  });

  const between = values.keys().toArray().filter((value) =>
    homes[value] === undefined && first.has(value) && !unbound.has(value)
  );
  const position = new Map(between.map((value, i) => [value, i]));
  const lifetimes = between.map((value) => {
    const group = groups[first.get(value)!];
    return {
      bytes: bytesOf(values[value]),
      first: first.get(value)!,
      last: last.get(value)!,
      over: group.inputs.filter((input) => overwritable(group, input.value))
        .map((input) => position.get(input.value)).filter((i) => i !== undefined),
    };
  });
  const { slotOf, slots, inPlace: taken } = assignSlots(lifetimes);
  between.forEach((value, i) => homes[value] = { kind: "slot", slot: slotOf[i] });
  for (const [output, input] of taken) {
    inPlace[first.get(between[output])!].set(between[output], between[input]);
  }
  return { homes, slots, inPlace, copies, kept, live: liveBytes(lifetimes, taken, groups.length) };
}

/** The most bytes that values between hold at once, by stage, in order of the stages. */
export function peaksOf(groups: readonly Group[], live: readonly number[]): StageBytes[] {
  const peaks = new Map<string, number>();
  groups.forEach((group, i) => {
    const { stage = "" } = group.steps.at(-1)!;
    peaks.set(stage, Math.max(peaks.get(stage) ?? 0, live[i]));
  });
  return [...peaks].map(([stage, bytes]) => ({ stage, bytes }));
}
