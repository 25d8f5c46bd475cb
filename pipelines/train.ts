/**
 * The one training loop: batches → accumulate → update → log → checkpoint.
 *
 * Everything that decides the numbers runs on the device, in two plans: one adds a micro-batch's
 * gradients to the others', one updates. The host uploads, and reads the metrics some steps later,
 * because waiting for the device costs about 11 ms.
 *
 * @module
 */
import type { Device } from "../src/device.ts";
import { grad } from "../src/grad.ts";
import { inStage } from "../src/op.ts";
import { add, mul, where } from "../src/ops/map.ts";
import { concat, reshape } from "../src/ops/shape.ts";
import { clipGain, globalNorm, type Optimizer, type Params } from "../src/optim.ts";
import type { Location } from "../src/plan/launch.ts";
import { compile } from "../src/plan/plan.ts";
import { readAll, upload } from "../src/plan/read.ts";
import { type HostArray, scalar, type Tensor, zeros } from "../src/tensor.ts";
import { entries, leaves, map } from "../src/tree.ts";
import { metricsReader, RING } from "./metrics_reader.ts";
import type { Stage } from "./stage.ts";

/** What a task gives to the loop. */
export interface Task<P extends Params, Batch extends Params> {
  /** Initial values, a record of trees. */
  readonly params: P;
  /** Top-level names of what no optimizer touches; none if left out. */
  readonly frozen?: readonly string[];
  /** State of the optimizer; fresh if left out. */
  readonly state?: Params;
  readonly loss: Stage<{ readonly params: P; readonly batch: Batch }, Tensor>;
  readonly optimizer: Optimizer;
  readonly clipNorm: number | null;
  /** Micro-batches from a sample position on, without end. */
  readonly batches: (position: number) => AsyncGenerator<Batch, void, void>;
  readonly microBatch: number;
  /** Micro-batches an update. */
  readonly accumulate: number;
  /** Rate of the step after `step` steps. */
  readonly rate: (step: number) => number;
  /** Steps done already, and steps to reach. */
  readonly start: number;
  readonly steps: number;
  /** A group of metrics ends after every so many steps, so that a snapshot can be of that step. */
  readonly every?: number;
}

/** What is known of a finished step. */
export interface StepMetrics {
  readonly step: number; // from 1
  readonly loss: number;
  readonly lr: number;
  readonly gradNorm: number;
  readonly imagesPerSecond: number;
}

/** Raised when a loss or gradient is not finite; parameters are those before the step. */
export class NonFiniteError extends Error {
  override name = "NonFiniteError";
  constructor(readonly step: number, readonly location: Location | undefined) {
    const { op, stage, shape } = location ?? {};
    const where = location
      ? `first in ${op} [${shape}] of stage ${stage}`
      : "in the gradient's norm";
    super(`Loss or gradient is not finite at step ${step}: ${where}`);
  }
}

/** Loss and gradients, summed over micro-batches. */
interface Total {
  readonly [name: string]: Params;
  readonly loss: Tensor;
  readonly grads: Params;
}

interface GradientArgs<Batch extends Params> {
  readonly [name: string]: Params;
  readonly trainable: Params;
  readonly frozen: Params;
  readonly batch: Batch;
  /** The sum so far; empty where one micro-batch makes a step. */
  readonly sofar: Total | Record<string, never>;
  /** 1 for a step's first micro-batch, which ignores the sum so far. */
  readonly first: Tensor;
}

interface UpdateArgs {
  readonly [name: string]: Params;
  readonly trainable: Params;
  readonly state: Params;
  readonly healthy: Tensor;
  readonly total: Total;
  readonly hyper: Params;
}

/** Host values of the leaves of two trees. */
export interface Snapshot {
  readonly params: readonly HostArray[];
  readonly state: readonly HostArray[];
}

/** A prepared training run. */
export interface Trainer<P extends Params> {
  readonly dispatches: number;
  /** Bytes of device memory that the plans bind. */
  readonly peakBytes: number;
  /** Trains to the end; yields metrics in order, in groups, some steps after they happened. */
  run(): AsyncGenerator<StepMetrics[], void, void>;
  /** Values of parameters and state as they are now, in order of their leaves. */
  snapshot(): Promise<Snapshot>;
  /** Parameters on the device. */
  readonly params: P;
}

/** Milliseconds that metrics may wait to be read. */
const PATIENCE = 2000;

/**
 * Compiles a task's plans and uploads its parameters.
 *
 * @throws {RangeError} If a tensor exceeds the adapter's limits; names it and its stage.
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
 *   ...{ microBatch: 1, accumulate: 1, rate: () => 0.1, start: 0, steps: 20 },
 * });
 * const losses = (await Array.fromAsync(trainer.run())).flat().map(({ loss }) => loss);
 * assert(losses[19] < 0.1 * losses[0]);
 * ```
 */
export async function prepare<P extends Params, Batch extends Params>(
  device: Device,
  task: Task<P, Batch>,
): Promise<Trainer<P>> {
  const example = await firstBatch(task);
  const place = <T extends Params>(tree: T): T =>
    map<Tensor, Tensor>(tree, (x) => upload(device, x));
  const { accumulate, optimizer } = task;
  const params = place(task.params);
  const { trainable, frozen } = split(params, task.frozen);
  const zeroTotal = (): Total => ({
    loss: scalar(0),
    grads: map<Tensor, Tensor>(trainable, ({ shape }) => zeros(shape)),
  });
  const gradient = await compile<GradientArgs<Batch>, { sofar: Total }>(
    device,
    ({ trainable, frozen, batch, sofar, first }) => {
      const loss = task.loss({ params: join(task.params, trainable, frozen), batch });
      const fresh: Total = { loss, grads: grad(loss, trainable) };
      if (accumulate === 1) return { sofar: fresh };
      const sums = new Map(entries<Tensor>(sofar));
      return inStage("accumulate", () => ({
        sofar: map<Tensor, Tensor, Total>(fresh, (value, path) => {
          const part = mul(value, 1 / accumulate);
          return where(first, part, add(sums.get(path)!, part));
        }),
      }));
    },
    {
      trainable,
      frozen,
      batch: example,
      sofar: accumulate === 1 ? {} : place(zeroTotal()),
      first: scalar(1),
    },
    { donate: ["sofar"] },
  );
  const { sofar: total } = gradient.results;
  const argumentsFor = (batch: Batch, index: number): GradientArgs<Batch> => ({
    trainable,
    frozen,
    batch,
    sofar: accumulate === 1 ? {} : total,
    first: scalar(index === 0 ? 1 : 0),
  });

  const initial: UpdateArgs = {
    trainable,
    state: place(task.state ?? optimizer.init(trainable)),
    healthy: place(scalar(1)),
    total,
    hyper: optimizer.hyper(1, 0),
  };
  const update = await compile(device, updateWith(task), initial, {
    donate: ["trainable", "state", "healthy"],
  });
  const copies = metricsReader(device);
  const find = (batch: Batch) => gradient.firstNonFinite(argumentsFor(batch, 0));

  return {
    dispatches: gradient.dispatches * accumulate + update.dispatches,
    peakBytes: [...new Set([...gradient.buffers, ...update.buffers])].reduce(
      (n, b) => n + b.size,
      0,
    ),
    params,
    async snapshot() {
      const [own, state] = [params, initial.state].map((tree) => leaves<Tensor>(tree));
      const values = await readAll(device, [...own, ...state]);
      return { params: values.slice(0, own.length), state: values.slice(own.length) };
    },
    async *run() {
      const samples = task.microBatch * accumulate;
      const batches = task.batches(task.start * samples);
      let since = performance.now();
      try {
        for (let step = task.start + 1; step <= task.steps; step++) {
          for (let index = 0; index < accumulate; index++) {
            const batch = (await batches.next()).value as Batch;
            gradient.run(argumentsFor(batch, index));
          }
          const lr = task.rate(step - 1);
          const { metrics } = update.run({ ...initial, hyper: optimizer.hyper(step, lr) });
          copies.push(metrics as Tensor, { step, lr });
          const due = step === task.steps || task.every !== undefined && step % task.every === 0;
          const waited = performance.now() - since;
          if (!due && copies.pending < RING && waited < PATIENCE) continue;
          const done = await copies.flush();
          const elapsed = (performance.now() - since) / 1000;
          since = performance.now();
          const bad = done.find(({ healthy }) => healthy === 0);
          const rate = samples * done.length / elapsed;
          const good = done.filter(({ step }) => !bad || step < bad.step);
          yield good.map(({ step, lr, loss, gradNorm }) => ({
            step,
            lr,
            loss,
            gradNorm,
            imagesPerSecond: rate,
          }));
          if (bad) throw new NonFiniteError(bad.step, await locate(task, bad.step, find));
        }
      } finally {
        await batches.return();
      }
    },
  };
}

/** A batch to trace the plans with; its values do not matter. */
async function firstBatch<P extends Params, Batch extends Params>(
  { batches, start, microBatch, accumulate }: Task<P, Batch>,
): Promise<Batch> {
  const generator = batches(start * microBatch * accumulate);
  const { value } = await generator.next();
  await generator.return();
  return value as Batch;
}

/** Splits a record by its top-level names. */
export function split(
  params: Params,
  frozen: readonly string[] = [],
): { trainable: Params; frozen: Params } {
  const part = (isFrozen: boolean) =>
    Object.fromEntries(
      Object.entries(params as Record<string, Params>)
        .filter(([name]) => frozen.includes(name) === isFrozen),
    );
  return { trainable: part(false), frozen: part(true) };
}

/** Undoes `split`, in the order of the names in `like`. */
function join<P extends Params>(like: P, trainable: Params, frozen: Params): P {
  const both = { ...trainable as object, ...frozen as object } as Record<string, Params>;
  const record: Params = Object.fromEntries(Object.keys(like).map((name) => [name, both[name]]));
  return record as P;
}

/** Clips, checks and applies; `healthy` turns 0 at the first bad step, and nothing changes after it. */
function updateWith<P extends Params, Batch extends Params>(
  { optimizer, clipNorm }: Task<P, Batch>,
) {
  return ({ trainable, state, total, healthy, hyper }: UpdateArgs) =>
    inStage("optimizer", () => {
      const norm = globalNorm(total.grads);
      const guard = clipGain(norm, total.loss, healthy, clipNorm);
      const [updated, moments] = optimizer.update(
        total.grads,
        state,
        trainable,
        hyper as Readonly<Record<string, Tensor>>,
        guard.gain,
      );
      const numbers = [total.loss, norm, guard.healthy].map((x) => reshape(x, [1]));
      return {
        trainable: updated,
        state: moments,
        healthy: guard.healthy,
        metrics: concat(numbers, 0),
      };
    });
}

/** Runs the micro-batches of a bad step again, op by op, to find where it went wrong. */
async function locate<P extends Params, Batch extends Params>(
  task: Task<P, Batch>,
  step: number,
  find: (batch: Batch) => Promise<Location | undefined>,
): Promise<Location | undefined> {
  const batches = task.batches((step - 1) * task.microBatch * task.accumulate);
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
