/**
 * Buffers of a plan: whether a result takes over an argument's, gets its own, or a value a slot.
 *
 * @module
 */
import { createBuffer, type Device } from "../device.ts";
import { bytesOf } from "../tensor.ts";
import { type Group, isMap } from "./fuse.ts";
import { isFull } from "./map.ts";
import { assignSlots, liveBytes } from "./memory.ts";
import type { Graph, Value } from "./trace.ts";

/**
 * Refuses what the adapter cannot bind or launch, before anything is allocated.
 *
 * @param paths Names of the arguments.
 * @throws {RangeError} Names the tensor and its stage.
 */
export function checkLimits(
  { gpu, name, target }: Device,
  { values, steps }: Graph,
  paths: readonly string[],
): void {
  const limit = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
  const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const refuse = (
    what: string,
    shape: readonly number[],
    stage: string | undefined,
    why: string,
  ) => {
    const place = stage ? ` in stage ${stage}` : "";
    throw new RangeError(
      `Use a smaller batch, image or model: ${what} [${shape}]${place} takes ${why}`,
    );
  };
  for (const value of values) {
    if (bytesOf(value) <= limit) continue;
    const why = `${mebibytes(bytesOf(value))}, and ${name} binds at most ${mebibytes(limit)}`;
    const what = value.source?.kind === "argument" ? paths[value.source.index] : value.name;
    refuse(what, value.shape, value.stage, why);
  }
  const most = gpu.limits.maxComputeWorkgroupsPerDimension;
  for (const { op, stage } of steps) {
    if (op.lowering.kind !== "kernel") continue;
    const counts = op.lowering.dispatches(target).flatMap(({ workgroups }) => workgroups);
    if (counts.every((count) => count <= most)) continue;
    const why = `${Math.max(...counts)} workgroups along an axis, and ${name} launches ${most}`;
    refuse(op.name, op.outputs[0].shape, stage, why);
  }
}

/** Bytes that values between hold in a stage. */
export interface StageBytes {
  readonly stage: string;
  readonly bytes: number;
}

/** Where results and values between go; fills `buffers`. */
export function place(
  device: Device,
  graph: Graph,
  groups: readonly Group[],
  buffers: (GPUBuffer | undefined)[],
  allocate: (value: Value, label: string) => GPUBuffer,
  { results, valueOfArgument, bound }: {
    results: readonly { value: number; argument: number }[];
    valueOfArgument: ReadonlyMap<number, number>;
    bound: readonly GPUBuffer[];
  },
) {
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
  const copies: { from: number; to: number; bytes: number; result: number }[] = [];
  const overwritable = (group: Group, value: number) =>
    isMap(group.steps[0]) &&
    group.inputs.some((input) =>
      input.value === value && isFull(input.shape, bytesOf(graph.values[group.outputs[0]]) / 4)
    );

  // Arguments asked for as results: copied before a step overwrites them or the next run rebinds them.
  const kept = new Map<number, GPUBuffer>();
  results.forEach(({ value, argument }, result) => {
    const donor = valueOfArgument.get(argument);
    if (graph.values[value].source?.kind === "argument" && donor !== value && !kept.has(value)) {
      kept.set(value, allocate(graph.values[value], "result"));
    }
    if (argument >= 0 && donor !== value) {
      const made = first.get(value);
      const free = donor === undefined || (last.get(donor) ?? -1) < (made ?? -1);
      const over = donor !== undefined && last.get(donor) === made && made !== undefined &&
        overwritable(groups[made], donor);
      if (made !== undefined && buffers[value] === undefined && (free || over)) {
        buffers[value] = bound[argument];
        if (!free) inPlace[made].set(value, donor!);
      } else {copies.push({
          from: value,
          to: argument,
          bytes: bytesOf(graph.values[value]),
          result,
        });}
    }
    buffers[value] ??= allocate(graph.values[value], "result");
  });

  const free = graph.values.keys().toArray().filter((value) =>
    buffers[value] === undefined && first.has(value)
  );
  const position = new Map(free.map((value, i) => [value, i]));
  const lifetimes = free.map((value) => {
    const group = groups[first.get(value)!];
    return {
      bytes: bytesOf(graph.values[value]),
      first: first.get(value)!,
      last: last.get(value)!,
      over: group.inputs.filter((input) => overwritable(group, input.value))
        .map((input) => position.get(input.value)).filter((i) => i !== undefined),
    };
  });
  const { slotOf, slots, inPlace: taken } = assignSlots(lifetimes);
  for (const [output, input] of taken) {
    inPlace[first.get(free[output])!].set(free[output], free[input]);
  }
  const mine = takeSlots(device, slots);
  free.forEach((value, i) => buffers[value] = mine[slotOf[i]]);
  return {
    inPlace,
    copies,
    kept,
    live: peaksOf(groups, liveBytes(lifetimes, taken, groups.length)),
  };
}

/** The most bytes that values between hold at once, by stage, in order of the stages. */
function peaksOf(groups: readonly Group[], live: readonly number[]): StageBytes[] {
  const peaks = new Map<string, number>();
  groups.forEach((group, i) => {
    const { stage = "" } = group.steps.at(-1)!;
    peaks.set(stage, Math.max(peaks.get(stage) ?? 0, live[i]));
  });
  return [...peaks].map(([stage, bytes]) => ({ stage, bytes }));
}

/** A buffer for each slot, from the device's pool where one fits. */
function takeSlots(device: Device, slots: readonly number[]): GPUBuffer[] {
  const pool = new Set(device.scratch);
  const order = slots.keys().toArray().sort((a, b) => slots[b] - slots[a]);
  const taken: GPUBuffer[] = [];
  for (const slot of order) {
    let best: GPUBuffer | undefined;
    for (const buffer of pool) {
      const fits = buffer.size >= slots[slot] && buffer.size < 2 * slots[slot] + 4096;
      if (fits && (!best || buffer.size < best.size)) best = buffer;
    }
    if (best) pool.delete(best);
    else device.scratch.push(best = createBuffer(device, slots[slot], "slot"));
    taken[slot] = best;
  }
  return taken;
}
