/**
 * The one training loop: batches → accumulate → update → metrics.
 *
 * Everything that decides the numbers runs on the device, in two plans: one adds a micro-batch's
 * gradients to the others', one updates. The host uploads, and reads the metrics some steps later,
 * because waiting for the device costs about 11 ms.
 *
 * @module
 */
import { type Device, MemoryError } from "../src/device.ts";
import type { Params } from "../src/optim.ts";
import type { Location, Timing } from "../src/plan/launch.ts";
import type { StageBytes } from "../src/plan/place.ts";
import { compile } from "../src/plan/plan.ts";
import { readAll, upload } from "../src/plan/read.ts";
import { bytesOf, type HostArray, scalar, type Tensor, tensor } from "../src/tensor.ts";
import { entries, leaves, map } from "../src/tree.ts";
import { NonFiniteError } from "./finite.ts";
import { metricsReader, RING } from "./metrics_reader.ts";
import { inParts, type Parted } from "./parts.ts";
import { gradientCall, startOf, updateCall } from "./step_calls.ts";
import {
  type GradientArgs,
  initialWeights,
  METRICS,
  type Task,
  type Weights,
} from "./train_step.ts";

export { initialWeights, type Task, type Weights } from "./train_step.ts";

/** Where a run stands. */
export interface Place {
  /** Steps done. */
  readonly step: number;
  /** Samples seen, or passed over. */
  readonly position: number;
}

/** What is known of a finished step. */
export interface StepMetrics extends Place {
  readonly loss: number;
  /** Parts of the loss, where the task names them. */
  readonly terms: Readonly<Record<string, number>>;
  readonly lr: number;
  readonly gradNorm: number;
  readonly imagesPerSecond: number;
  /** Share of the time in which the loop waited for batches. */
  readonly dataWait: number;
}

/** How far and how to run. */
export interface RunOptions {
  /** Where to begin; at the very start if left out. */
  readonly from?: Place;
  /** Whether the loop shall wait for the device after a step, so that its weights can be looked at. */
  readonly pauses?: (step: number) => boolean;
  /** Ends the run after the step that is under way. */
  readonly signal?: AbortSignal;
  /** Steps to time op by op, after a first one. */
  readonly profile?: number;
}

/** A prepared training run. */
export interface Trainer<P extends Params> {
  readonly dispatches: number;
  /** Bytes of device memory that the plans bind, in all and by what they hold. */
  readonly peakBytes: number;
  readonly memory: readonly { readonly name: string; readonly bytes: number }[];
  /** Bytes of values between at each stage's peak. */
  readonly stages: readonly StageBytes[];
  /** Steps that were timed so far, and the times of all their ops. */
  readonly profiled: { readonly steps: number; readonly timings: readonly Timing[] };
  /**
   * Trains to the end; yields metrics in order, in groups, some steps after they happened.
   *
   * @throws {NonFiniteError} After the metrics of the last good step; the weights are that step's.
   * @throws {DeviceError | MemoryError} If the device no longer works.
   */
  run(options?: RunOptions): AsyncGenerator<StepMetrics[], void, void>;
  /** The weights as they are now, in host memory. */
  snapshot(): Promise<Weights<P>>;
  /** Replaces the weights. */
  load(weights: Weights<P>): void;
  /** Parameters on the device. */
  readonly params: P;
  /** Parts that each micro-batch goes in; 1 where the adapter takes it whole. */
  readonly parts: number;
  /** Frees the plans, the weights and all else that lies on the device. */
  destroy(): void;
}

/** Milliseconds that metrics may wait to be read, and that signals may. */
const PATIENCE = 2000;
const TURN = 100;

/** Bytes that may be uploaded ahead of the device. */
const STAGED = 256 * 2 ** 20;

/**
 * Compiles a task's plans and uploads its parameters. Where the adapter cannot bind what a micro-batch
 * takes, it goes in parts, if the task is separable; that is told on stderr.
 *
 * @throws {RangeError} If a tensor exceeds the adapter's limits; names it and its stage.
 * @throws {MemoryError} If the adapter's memory does not suffice.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { adamW, mean, openDevice, prepare, square, sub, tensor, type Tensor } from "@mcmae/mcmae";
 *
 * const trainer = await prepare(await openDevice(), {
 *   params: { w: tensor([0, 0]) },
 *   loss: ({ params, batch }: { params: { w: Tensor }; batch: { goal: Tensor } }) =>
 *     mean(square(sub(params.w, batch.goal))),
 *   optimizer: adamW({ betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0 }),
 *   clipNorm: null,
 *   batches: async function* () {
 *     while (true) yield { goal: tensor([1, -1]) };
 *   },
 *   ...{ microBatch: 1, accumulate: 1, rate: () => 0.1, steps: 20 },
 * });
 * const losses = (await Array.fromAsync(trainer.run())).flat().map(({ loss }) => loss);
 * assert(losses[19] < 0.1 * losses[0]);
 * ```
 */
export async function prepare<P extends Params, Batch extends Params>(
  device: Device,
  task: Task<P, Batch>,
): Promise<Trainer<P>> {
  if (task.half && !device.features.has("shader-f16")) {
    throw new RangeError(`Set memory.activations to f32: ${device.name} has no f16 (shader-f16)`);
  }
  const parted = inParts(device, task, await firstBatch(task));
  if (parted.notice) console.error(parted.notice);
  device.gpu.pushErrorScope("out-of-memory");
  const samples = task.microBatch * task.accumulate;
  const trainer = await prepareWith(device, parted, samples).finally(async () => {
    const exhausted = await device.gpu.popErrorScope();
    if (exhausted) throw new MemoryError(`Out of device memory: ${exhausted.message}`);
  });
  return trainer;
}

/** @param samples Samples a step. */
async function prepareWith<P extends Params, Batch extends Params>(
  device: Device,
  { task, example, parts }: Parted<P, Batch>,
  samples: number,
): Promise<Trainer<P>> {
  const placed: Tensor[] = [];
  const place = <T extends Params>(tree: T): T =>
    map<Tensor, Tensor>(tree, (x) => {
      placed.push(upload(device, x));
      return placed.at(-1)!;
    });
  const { accumulate, optimizer } = task;
  const { params, state, ema = {} } = place(initialWeights(task)) as Weights<P>;
  const weights = { params, state, ema };
  const call = gradientCall(task, weights, example, place(startOf(task, weights, example)));
  const gradient = await compile(device, call.fn, call.args, call.options);
  const { sofar: total } = gradient.results;
  const argumentsFor = (batch: Batch, index: number): GradientArgs<Batch> => ({
    ...call.args,
    batch,
    sofar: accumulate === 1 ? {} : total,
    first: scalar(index === 0 ? 1 : 0),
  });

  const healthy = place({ healthy: scalar(1) });
  const { fn, args: initial, options, stages } = updateCall(
    ...[task, weights, total, call.stageOf, healthy.healthy] as const,
  );
  const update = await compile(device, fn, initial, options);
  const names = Object.keys(total.terms);
  const termsOf = (values: Float32Array) =>
    Object.fromEntries(names.map((name, i) => [name, values[METRICS + stages.length + i]]));
  const profiled = { steps: 0, timings: [] as Timing[] };
  const batchBytes = leaves<Tensor>(example).reduce((n, x) => n + bytesOf(x), 0);
  const write = (to: Params, from: Params) => {
    const values = new Map(entries<Tensor>(from));
    for (const [path, { source }] of entries<Tensor>(to)) {
      const { data } = values.get(path)!.source as { data: HostArray };
      const { buffer } = source as { buffer: GPUBuffer };
      device.gpu.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
    }
  };
  const buffers = new Set([...gradient.buffers, ...update.buffers]);
  const peakBytes = [...buffers].reduce((n, { size }) => n + size, 0);

  return {
    dispatches: gradient.dispatches * accumulate + update.dispatches,
    peakBytes,
    memory: partsOf(peakBytes, { params, state, ema, grads: total.grads }),
    stages: [...gradient.live, ...update.live],
    ...{ profiled, params, parts },
    async snapshot() {
      const trees = { params, state, ...(task.emaDecay && { ema }) };
      const values = await readAll(device, leaves<Tensor>(trees));
      let next = 0;
      return map<Tensor, Tensor>(trees, ({ shape }) => tensor(values[next++], shape));
    },
    destroy() {
      gradient.destroy();
      update.destroy();
      for (const { source } of placed) if (source.kind === "device") source.buffer.destroy();
    },
    load(weights) {
      write(params, weights.params);
      write(state, weights.state);
      if (task.emaDecay) write(ema, weights.ema!);
    },
    async *run({ from = { step: 0, position: 0 }, pauses, signal, profile = 0 } = {}) {
      write(healthy, { healthy: scalar(1) });
      const copies = metricsReader<Place & { readonly lr: number }>(device, update.results.metrics);
      let { step, position } = from;
      const batches = task.batches(position);
      let since = performance.now();
      let turn = since;
      let waited = 0;
      let staged = 0;
      const next = async () => {
        const before = performance.now();
        const { value } = await batches.next();
        waited += performance.now() - before;
        return value as Batch;
      };
      try {
        while (step < task.steps && !signal?.aborted) {
          const lr = task.rate(step);
          const timed = step > from.step && step <= from.step + profile;
          for (let index = 0; index < accumulate; index++) {
            const args = argumentsFor(await next(), index);
            if (timed) profiled.timings.push(...await gradient.profile(args));
            else await gradient.runAsync(args);
            staged += batchBytes;
            // Uploads lie in host memory until the device has come to them.
            if (staged > STAGED) {
              staged = await device.gpu.queue.onSubmittedWorkDone().then(() => 0);
            }
            // Signals and workers are heard between turns of the event loop only.
            if (performance.now() - turn < TURN) continue;
            await new Promise((resolve) => setTimeout(resolve));
            turn = performance.now();
          }
          const args = { ...initial, hyper: optimizer.hyper(step + 1, lr) };
          if (timed) {
            profiled.timings.push(...await update.profile(args));
            profiled.steps++;
          } else update.run(args);
          position += samples;
          copies.push({ step: ++step, position, lr });
          // The first step stands alone: it waits for pipelines to be compiled.
          const due = step === task.steps || step === from.step + 1 || pauses?.(step);
          const late = copies.pending === RING || performance.now() - since >= PATIENCE;
          if (!due && !late && !signal?.aborted) continue;
          const done = await copies.flush();
          const elapsed = performance.now() - since;
          const speed = {
            imagesPerSecond: 1000 * samples * done.length / elapsed,
            dataWait: Math.min(1, waited / elapsed),
          };
          since = performance.now();
          waited = staged = 0;
          const bad = done.find(({ values: [, , healthy] }) => healthy === 0);
          const good = bad ? done.slice(0, done.indexOf(bad)) : done;
          if (good.length > 0) {
            yield good.map(({ step, values }) => ({
              ...{ ...step, loss: values[0], terms: termsOf(values), gradNorm: values[1] },
              ...speed,
            }));
            since = performance.now();
          }
          if (!bad) continue;
          const find = (batch: Batch) => gradient.firstNonFinite(argumentsFor(batch, 0));
          const location = await locate(task, bad.step.position - samples, find);
          const flags = bad.values.subarray(METRICS, METRICS + stages.length);
          const stage = stages[flags.indexOf(0)] ?? "optimizer";
          throw new NonFiniteError(bad.step.step, bad.step.position, stage, location);
        }
      } finally {
        copies.destroy();
        await batches.return();
      }
    },
  };
}

/** A batch to trace the plans with; its values do not matter. */
export async function firstBatch<P extends Params, Batch extends Params>(
  { batches }: Task<P, Batch>,
): Promise<Batch> {
  const generator = batches(0);
  const { value } = await generator.next();
  await generator.return();
  return value as Batch;
}

/** What the bytes of a run hold. */
function partsOf(
  peakBytes: number,
  { params, state, ema, grads }: Readonly<Record<"params" | "state" | "ema" | "grads", Params>>,
): Trainer<Params>["memory"] {
  const sum = (tree: Params) => leaves<Tensor>(tree).reduce((n, x) => n + bytesOf(x), 0);
  const known = [
    { name: "parameters", bytes: sum(params) },
    { name: "optimizer state", bytes: sum(state) },
    { name: "moving average", bytes: sum(ema) },
    { name: "gradients", bytes: sum(grads) },
  ].filter(({ bytes }) => bytes > 0);
  const rest = peakBytes - known.reduce((n, { bytes }) => n + bytes, 0);
  return [...known, { name: "batch and values between", bytes: rest }];
}

/** Runs the micro-batches of a bad step again, op by op, to find where it went wrong. */
async function locate<P extends Params, Batch extends Params>(
  task: Task<P, Batch>,
  position: number,
  find: (batch: Batch) => Promise<Location | undefined>,
): Promise<Location | undefined> {
  const batches = task.batches(position);
  try {
    for (let index = 0; index < task.accumulate; index++) {
      const batch = (await batches.next()).value as Batch;
      const location = await find(batch);
      if (location) return location;
    }
  } finally {
    await batches.return();
  }
}
