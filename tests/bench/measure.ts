/**
 * How things are timed, and what a line of the benchmark says.
 *
 * @module
 */
import type { Device } from "../../src/device.ts";
import { type Cost, totalOf } from "../../src/plan/cost.ts";
import { compile, type Plan } from "../../src/plan/plan.ts";
import { upload } from "../../src/plan/read.ts";
import { key, uniform } from "../../src/random.ts";
import { sizeOf, type Tensor, tensor } from "../../src/tensor.ts";
import type { Tree } from "../../src/tree.ts";

/** One measurement. */
export interface Line {
  readonly case: string;
  /** Median milliseconds of one call. */
  readonly ms: number;
  readonly [figure: string]: number | string;
}

/** The best that the adapter did in this run, in 10⁹ a second. */
export interface Ceilings {
  /** A WGSL kernel that copies fours, reads and writes counted. */
  readonly copy: number;
  /** The fastest product of two large matrices. */
  readonly matmul: number;
}

/** Figures of a case that arithmetic bounds. */
export function arithmetic(ms: number, flops: number, { matmul }: Ceilings) {
  const gflops = flops / ms / 1e6;
  return { gflops, percent_of_matmul: 100 * gflops / matmul };
}

/** Figures of a case that memory bounds. */
export function traffic(ms: number, bytes: number, { copy }: Ceilings) {
  const gbytes_per_s = bytes / ms / 1e6;
  return { gbytes_per_s, percent_of_copy: 100 * gbytes_per_s / copy };
}

/**
 * Milliseconds that launches would take at the ceilings, each bound by arithmetic or by memory. Small
 * operands may lie in a cache, which is faster than the copy, so that a step can be faster too.
 */
export function roofline(costs: readonly Cost[], { copy, matmul }: Ceilings): number {
  return costs.reduce(
    (ms, { flops, bytes }) => ms + Math.max(flops / matmul, bytes / copy) / 1e6,
    0,
  );
}

/** Figures of a whole step, from what its launches cost. */
export function work(ms: number, costs: readonly Cost[], ceilings: Ceilings) {
  const { flops, bytes } = totalOf(costs);
  return {
    ...{ gflop: flops / 1e9, gflops: flops / ms / 1e6, gbytes: bytes / 1e9 },
    percent_of_roofline: 100 * roofline(costs, ceilings) / ms,
  };
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** Milliseconds that a sample lasts at least: waiting for the device costs about 11. */
const SAMPLE = 150;
const SAMPLES = 5;

/**
 * Median milliseconds of a call. A sample is many calls and one wait for the device, so that the
 * wait does not count.
 */
export async function time(device: Device, run: () => void): Promise<number> {
  const sample = async (calls: number) => {
    const start = performance.now();
    for (let i = 0; i < calls; i++) run();
    await device.gpu.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  await sample(1); // pipelines are compiled
  const calls = Math.max(1, Math.min(1000, Math.ceil(SAMPLE / await sample(1))));
  const samples: number[] = [];
  for (let i = 0; i < SAMPLES; i++) samples.push(await sample(calls) / calls);
  return median(samples);
}

/** Median milliseconds of a function of device tensors, compiled. */
export async function timeFunction<Args extends Tree<Tensor>>(
  device: Device,
  fn: (args: Args) => Tree<Tensor>,
  args: Args,
  donate: readonly string[] = [],
): Promise<number> {
  const plan: Plan<Args, Tree<Tensor>> = await compile(device, fn, args, { donate });
  const ms = await time(device, () => plan.run(args));
  plan.destroy();
  return ms;
}

/** Values in device memory, uniform in [-0.5, 0.5). */
export function random(device: Device, shape: readonly number[], seed: number): Tensor {
  return upload(device, tensor(uniform(key(seed), sizeOf(shape)).map((u) => u - 0.5), shape));
}

/** Frees device tensors. */
export function free(tensors: Iterable<Tensor>): void {
  for (const { source } of tensors) if (source.kind === "device") source.buffer.destroy();
}
