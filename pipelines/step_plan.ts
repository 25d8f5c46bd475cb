/**
 * What a training step takes on an adapter: parameters, dispatches, memory, arithmetic. Nothing is
 * allocated.
 *
 * @module
 */
import { type Adapter, bufferBytes } from "../src/device.ts";
import type { Params } from "../src/optim.ts";
import { allOf, buffersOf } from "../src/plan/buffers.ts";
import { type Cost, costsOf, type GroupCost, totalOf } from "../src/plan/cost.ts";
import { type Draft, draft } from "../src/plan/draft.ts";
import { type Binding, bindingsOf } from "../src/plan/limits.ts";
import { takeFrom } from "../src/plan/memory.ts";
import { peaksOf } from "../src/plan/place.ts";
import { bytesOf, scalar, type Tensor } from "../src/tensor.ts";
import { leaves, map } from "../src/tree.ts";
import { inParts } from "./parts.ts";
import { countParameters } from "./run_info.ts";
import { gradientCall, startOf, updateCall } from "./step_calls.ts";
import { firstBatch } from "./train.ts";
import { initialWeights, type Task, type Weights } from "./train_step.ts";

/** What is known of a training step before a device is opened. */
export interface StepPlan {
  readonly parameters: { readonly trained: number; readonly frozen: number };
  /** Parts that each micro-batch goes in, of so many samples, and why. */
  readonly parts: number;
  readonly notice?: string;
  /** Dispatches of a step. */
  readonly dispatches: number;
  /** Bytes that outlive a step; `slots` are those of values between, as buffers that these share. */
  readonly bytes: {
    readonly parameters: number;
    readonly gradients: number;
    readonly state: number;
    readonly average: number;
    readonly slots: number;
    /** The batch, constants, and numbers that the host reads. */
    readonly other: number;
  };
  /** The most bytes that values between hold at once: no plan takes less for them. */
  readonly liveBytes: number;
  readonly peakBytes: number;
  /** Peak bytes over the least there can be: live bytes, parameters, gradients, state, average. */
  readonly ratio: number;
  readonly largest: Binding;
  readonly stages: readonly StagePlan[];
  /** Of a step, with all its micro-batches and the update; of a sample the share of one. */
  readonly cost: Cost;
  /** The same by what is computed, the most arithmetic first. */
  readonly families: readonly FamilyCost[];
}

/** What the ops of a family cost a step. */
export interface FamilyCost extends Cost {
  readonly family: string;
}

/** What a stage of a training step takes. */
export interface StagePlan {
  readonly stage: string;
  /** The most bytes that values between hold at once while the stage runs. */
  readonly liveBytes: number;
  readonly largest?: Binding;
  /** Of a step. */
  readonly cost: Cost;
}

/**
 * What each group of a step's launches costs, with all micro-batches.
 *
 * @throws {LimitError} As `prepare()`.
 */
export async function stepCosts<P extends Params, Batch extends Params>(
  adapter: Adapter,
  whole: Task<P, Batch>,
): Promise<GroupCost[]> {
  return costsOfStep(adapter, await draftStep(adapter, whole));
}

/** A step's two drafts, for a task whose batches the adapter takes. */
async function draftStep<P extends Params, Batch extends Params>(
  adapter: Adapter,
  whole: Task<P, Batch>,
) {
  const { task, example, parts, notice } = inParts(adapter, whole, await firstBatch(whole));
  // Each has a buffer of its own, though a task may begin with equal tensors.
  const weights = map<Tensor, Tensor, Weights>(initialWeights(task), (leaf) => ({ ...leaf }));
  const first = gradientCall(task, weights, example, startOf(task, weights, example));
  const gradient = draft(adapter, first.fn, first.args, first.options);
  const { sofar: total } = gradient.returned;
  const second = updateCall(task, weights, total, first.stageOf, scalar(1));
  const update = draft(adapter, second.fn, second.args, second.options);
  return { ...{ task, parts, notice, weights, total }, drafts: [gradient, update] as const };
}

/**
 * Plans a task's step.
 *
 * @throws {LimitError} As `prepare()`.
 */
export async function planStep<P extends Params, Batch extends Params>(
  adapter: Adapter,
  whole: Task<P, Batch>,
): Promise<StepPlan> {
  const drafted = await draftStep(adapter, whole);
  const { task, parts, notice, weights, total, drafts } = drafted;
  const [gradient, update] = drafts;
  const costs = costsOfStep(adapter, drafted);
  const { buffers, slots } = sizesOf(drafts);
  const peakBytes = sum(buffers);
  const bytes = {
    parameters: sum(leaves<Tensor>(weights.params).map(bytesOf)),
    gradients: sum(leaves<Tensor>(total.grads).map(bytesOf)),
    state: sum(leaves<Tensor>(weights.state).map(bytesOf)),
    average: sum(leaves<Tensor>(weights.ema ?? {}).map(bytesOf)),
  };
  const kept = sum(Object.values(bytes));
  const liveBytes = Math.max(0, ...gradient.placement.live, ...update.placement.live);
  const stages = stagesOf(drafts, costs);
  return {
    ...{ parameters: countParameters(task), parts, notice },
    dispatches: dispatchesOf(adapter, gradient) * task.accumulate + dispatchesOf(adapter, update),
    bytes: { ...bytes, slots: sum(slots), other: peakBytes - kept - sum(slots) },
    ...{ liveBytes, peakBytes, ratio: peakBytes / (liveBytes + kept) },
    largest: largestOf(stages.flatMap(({ largest }) => largest ?? []))!,
    ...{ stages, cost: totalOf(costs), families: familiesOf(costs) },
  };
}

/** What the groups of a step cost; those of the gradient for every micro-batch. */
function costsOfStep(
  { target }: Adapter,
  { task, drafts: [gradient, update] }: {
    readonly task: { readonly accumulate: number };
    readonly drafts: readonly [Draft<unknown>, Draft<unknown>];
  },
): GroupCost[] {
  const all = costsOf(target, gradient).map(({ flops, bytes, ...about }) => ({
    ...{ ...about, flops: flops * task.accumulate, bytes: bytes * task.accumulate },
  }));
  return [...all, ...costsOf(target, update)];
}

function familiesOf(costs: readonly GroupCost[]): FamilyCost[] {
  return [...Map.groupBy(costs, ({ family }) => family)]
    .map(([family, own]) => ({ family, ...totalOf(own) }))
    .sort((a, b) => b.flops - a.flops || b.bytes - a.bytes);
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, n) => total + n, 0);

function largestOf(bindings: readonly Binding[]): Binding | undefined {
  return bindings.toSorted((a, b) => b.bytes - a.bytes)[0];
}

/** Bytes of the buffers of plans that share slots and hand on their results, as a device has them. */
function sizesOf(drafts: readonly Draft<unknown>[]): { buffers: number[]; slots: number[] } {
  interface Sized {
    readonly bytes: number;
  }
  const sized = (bytes: number): Sized => ({ bytes: bufferBytes(bytes) });
  const pool: number[] = [];
  const slots = new Map<number, Sized>(); // by place in the pool
  const known = new Map<Tensor, Sized>();
  const all = new Set<Sized>();
  for (const drafted of drafts) {
    const laid = buffersOf<Sized>(drafted, {
      argument: (_, leaf) => known.getOrInsertComputed(leaf, () => sized(bytesOf(leaf))),
      constant: (value) => sized(bytesOf(value)),
      own: (aval) => sized(bytesOf(aval)),
      slots: (bytes) =>
        takeFrom(pool, bytes).map((place) =>
          slots.getOrInsertComputed(place, () => sized(pool[place]))
        ),
    });
    const returned = leaves<Tensor>(drafted.returned as Params);
    returned.forEach((leaf, i) => known.set(leaf, laid.results[i]));
    for (const buffer of allOf(laid)) all.add(buffer);
  }
  const bytes = (sizes: Iterable<Sized>) => Array.from(sizes, ({ bytes }) => bytes);
  return { buffers: bytes(all), slots: bytes(slots.values()) };
}

function dispatchesOf({ target }: Adapter, { groups }: Draft<unknown>): number {
  return sum(groups.map(({ kernel, maps }) => {
    const isWritten = !kernel || maps.length > 0; // one launch, whatever it is made of
    const lowering = kernel?.op.lowering;
    return isWritten || lowering?.kind !== "kernel" ? 1 : lowering.dispatches(target).length;
  }));
}

/** Stages in the order in which they run, and what belongs to none as "". */
function stagesOf(
  drafts: readonly Draft<unknown>[],
  costs: readonly GroupCost[],
): StagePlan[] {
  const bindings = drafts.flatMap(({ graph, given }) =>
    bindingsOf(graph, given.map(([path]) => path))
  );
  const byStage = Map.groupBy(bindings, ({ stage = "" }) => stage);
  const peaks = new Map(
    drafts.flatMap(({ groups, placement }) => peaksOf(groups, placement.live))
      .map(({ stage, bytes }) => [stage, bytes]),
  );
  const names = new Set([...peaks.keys(), ...byStage.keys()]);
  return [...names].map((stage) => ({
    stage,
    liveBytes: peaks.get(stage) ?? 0,
    largest: largestOf(byStage.get(stage) ?? []),
    cost: totalOf(costs.filter((cost) => cost.stage === stage)),
  }));
}
