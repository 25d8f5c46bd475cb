/**
 * Calibration: of kernels that do the same, the one that is fastest on this adapter.
 *
 * @module
 */
import { createBuffer, type Device, pipelineOf, sourceOf } from "../device.ts";
import type { Dispatch } from "../op.ts";
import { sizeOf } from "../tensor.ts";
import { type Launch, time } from "./launch.ts";
import type { Graph } from "./trace.ts";

/** Milliseconds of each candidate, by operands of so many bytes; undefined where none can be had. */
export type Measure = (
  candidates: readonly Dispatch[],
  bytes: readonly number[],
) => Promise<readonly number[] | undefined>;

/**
 * Measures the variants of a graph's kernels that were not measured on this adapter before, and keeps
 * which is fastest. What moves most bytes comes first; what the budget does not suffice for is left to
 * the next plan.
 *
 * Variants may round differently: runs repeat bit for bit only with equal choices.
 *
 * @param budget Milliseconds after which no further measurement begins.
 */
export async function calibrate(
  device: Device,
  graph: Graph,
  measure: Measure = (candidates, bytes) => measureOn(device, candidates, bytes),
  budget = 2000,
): Promise<void> {
  const { calibration } = device;
  if (!calibration) return;
  const end = performance.now() + budget;
  let isNew = false;
  for (const [key, { candidates, bytes }] of unmeasured(device, calibration.choices, graph)) {
    if (performance.now() >= end) break;
    const milliseconds = await measure(candidates, bytes);
    if (!milliseconds) continue;
    const fastest = milliseconds.indexOf(Math.min(...milliseconds));
    calibration.choices.set(key, candidates[fastest].kernel);
    isNew = true;
  }
  if (isNew) await calibration.keep();
}

/** What is to be measured. */
interface Unmeasured {
  readonly candidates: readonly Dispatch[];
  /** Sizes of the operands. */
  readonly bytes: readonly number[];
  /** Bytes that its launches in the graph move. */
  moved: number;
}

/** Variants without a choice, those that move most bytes first. */
function unmeasured(
  { gpu, target }: Device,
  choices: ReadonlyMap<string, string>,
  { values, steps }: Graph,
): [key: string, Unmeasured][] {
  const most = gpu.limits.maxComputeWorkgroupsPerDimension;
  const found = new Map<string, Unmeasured>();
  for (const { op: { lowering }, inputs, outputs } of steps) {
    if (lowering.kind !== "kernel") continue;
    const bytes = [...inputs.map(({ value }) => value), ...outputs]
      .map((value) => 4 * sizeOf(values[value].shape));
    for (const { operands, variants } of lowering.dispatches(target)) {
      if (!variants) continue;
      const { key, candidates } = variants;
      if (candidates.some(({ kernel }) => kernel === choices.get(key))) continue;
      const possible = candidates.filter(({ workgroups }) => Math.max(...workgroups) <= most);
      const entry = found.get(key) ?? { candidates: possible, bytes, moved: 0 };
      entry.moved += operands.reduce((sum, operand) => sum + bytes[operand], 0);
      found.set(key, entry);
    }
  }
  return [...found].sort(([, a], [, b]) => b.moved - a.moved);
}

/** Launches of each candidate that are timed, after one that is not. */
const ROUNDS = 3;

/** Times candidates on buffers of their own, in turns. */
async function measureOn(
  device: Device,
  candidates: readonly Dispatch[],
  bytes: readonly number[],
): Promise<number[] | undefined> {
  const { gpu } = device;
  gpu.pushErrorScope("out-of-memory");
  gpu.pushErrorScope("validation");
  const used = new Set(candidates.flatMap(({ operands }) => operands));
  const buffers = bytes.map((size, operand) =>
    used.has(operand) ? createBuffer(device, size, "calibration") : undefined
  );
  const launches = candidates.map((dispatch): Launch => {
    const pipeline = pipelineOf(device, sourceOf(dispatch), dispatch.constants, dispatch.kernel);
    const bindGroup = gpu.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: dispatch.operands.map((operand, binding) => ({
        binding,
        resource: { buffer: buffers[operand]! },
      })),
    });
    const { kernel, operands, workgroups } = dispatch;
    return {
      op: kernel,
      shape: [],
      pipeline,
      values: operands,
      workgroups,
      outputs: [],
      bindGroup,
    };
  });
  const faults = await Promise.all([gpu.popErrorScope(), gpu.popErrorScope()]);
  try {
    // The plan itself says what is wrong, if it needs what failed here.
    if (faults.some((fault) => fault !== null)) return undefined;
    const rounds = Array.from({ length: 1 + ROUNDS }, () => launches).flat();
    const milliseconds = device.features.has("timestamp-query")
      ? await timeOnDevice(device, rounds)
      : await timeOnHost(device, rounds);
    return candidates.map((_, candidate) =>
      Math.min(
        ...milliseconds.filter((_, i) => i >= launches.length && i % launches.length === candidate),
      )
    );
  } finally {
    buffers.forEach((buffer) => buffer?.destroy());
  }
}

function encode(pass: GPUComputePassEncoder, { pipeline, bindGroup, workgroups }: Launch): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup!);
  pass.dispatchWorkgroups(...workgroups);
}

async function timeOnDevice(device: Device, launches: readonly Launch[]): Promise<number[]> {
  const submit = (encoder: GPUCommandEncoder) => device.gpu.queue.submit([encoder.finish()]);
  const timings = await time(device, launches, encode, () => {}, submit);
  return timings.map(({ milliseconds }) => milliseconds);
}

/** Launches of which the host waits for the last, so that the wait itself counts little. */
const REPEATS = 8;

async function timeOnHost({ gpu }: Device, launches: readonly Launch[]): Promise<number[]> {
  const milliseconds: number[] = [];
  for (const launch of launches) {
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let repeat = 0; repeat < REPEATS; repeat++) encode(pass, launch);
    pass.end();
    const start = performance.now();
    gpu.queue.submit([encoder.finish()]);
    await gpu.queue.onSubmittedWorkDone();
    milliseconds.push((performance.now() - start) / REPEATS);
  }
  return milliseconds;
}
