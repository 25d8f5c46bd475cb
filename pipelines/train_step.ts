/**
 * What a task gives to training, and the two graphs of a training step that are made of it: one adds
 * a micro-batch's gradients to the others', one updates.
 *
 * @module
 */
import { grad } from "../src/grad.ts";
import { inStage } from "../src/op.ts";
import { add, div, maximum, mul, where } from "../src/ops/map.ts";
import { concat, reshape } from "../src/ops/shape.ts";
import { clipGain, globalNorm, type Optimizer, type Params } from "../src/optim.ts";
import { recomputingBlocks } from "../src/recompute.ts";
import { scalar, type Tensor, zeros } from "../src/tensor.ts";
import { entries, fromEntries, map } from "../src/tree.ts";
import { type Flags, forwardFlags, gradientFlags } from "./finite.ts";
import { canShrink, initialScaler, nextScaler, type Scaler } from "./loss_scale.ts";
import type { Stage } from "./stage.ts";

/** What training changes. */
export type Weights<P extends Params = Params> = {
  readonly params: P;
  /** State of the optimizer. */
  readonly state: Params;
  /** Moving average of the trained parameters, where there is one. */
  readonly ema?: Params;
};

/** A loss, with what else its batch tells. */
export interface Measured {
  readonly loss: Tensor;
  /** Parts of the loss by name, to be watched; none if left out. */
  readonly terms?: Readonly<Record<string, Tensor>>;
  /** Values of running statistics, by the paths of these; none if left out. */
  readonly statistics?: Readonly<Record<string, Tensor>>;
}

/** What a task gives to the loop. */
export interface Task<P extends Params, Batch extends Params> {
  /** Initial values. */
  readonly params: P;
  /** Which parameters no optimizer touches, by path; none if left out. */
  readonly frozen?: (path: string) => boolean;
  /**
   * Parameters that are running statistics, as a BatchNorm's: `loss` measures them, and a step mixes
   * in the mean over its micro-batches.
   */
  readonly running?: {
    readonly paths: (path: string) => boolean;
    /** Share of the new value. */
    readonly momentum: number;
  };
  /** Share that the moving average keeps each step; no average if left out. */
  readonly emaDecay?: number | null;
  readonly loss: Stage<{ readonly params: P; readonly batch: Batch }, Tensor | Measured>;
  readonly optimizer: Optimizer;
  readonly clipNorm: number | null;
  /** Micro-batches from a sample position on, without end. */
  readonly batches: (position: number) => AsyncGenerator<Batch, void, void>;
  readonly microBatch: number;
  /** Micro-batches an update. */
  readonly accumulate: number;
  /** Rate of the step after `step` steps. */
  readonly rate: (step: number) => number;
  /** Steps to reach. */
  readonly steps: number;
  /** Whether every stage's numbers are checked, and not the loss and the gradient's norm alone; so unless false. */
  readonly checks?: boolean;
  /** Whether activations lie in memory as f16; not so unless true. */
  readonly half?: boolean;
  /** Whether blocks of the model are computed again for their gradients; not so unless true. */
  readonly recompute?: boolean;
  /**
   * Whether the loss of a batch is the mean of the losses of its equal parts, along the first axis of
   * all its tensors: then a micro-batch that the adapter cannot bind is split.
   */
  readonly separable?: boolean;
}

/** Loss and gradients, summed over micro-batches, and whether all was finite. */
export interface Total {
  readonly [name: string]: Params;
  readonly loss: Tensor;
  readonly grads: Params;
  /** Parts of the loss. */
  readonly terms: Params;
  /** What the batches tell of running statistics. */
  readonly statistics: Params;
  readonly finite: Flags;
}

export interface GradientArgs<Batch extends Params> {
  readonly [name: string]: Params | undefined;
  readonly trainable: Params;
  readonly frozen: Params;
  readonly running: Params;
  readonly batch: Batch;
  /** The sum so far; empty where one micro-batch makes a step. */
  readonly sofar: Total | Record<string, never>;
  /** 1 for a step's first micro-batch, which ignores the sum so far. */
  readonly first: Tensor;
  /** Factor on the loss, of which the gradients are; only where activations are f16. */
  readonly scale?: Tensor;
}

export interface UpdateArgs {
  readonly [name: string]: Params;
  readonly trainable: Params;
  readonly running: Params;
  readonly state: Params;
  readonly ema: Params;
  readonly healthy: Tensor;
  readonly total: Total;
  readonly hyper: Params;
}

/** State of an optimizer, and of the loss's scale where activations are f16. */
type StateOf = { readonly [name: string]: Params } & { readonly scaler?: Scaler };

/** The factor on a task's loss, as its state has it. */
export function scaleOf(state: Params): { scale?: Tensor } {
  const { scaler } = state as StateOf;
  return scaler ? { scale: scaler.scale } : {};
}

/** What the state holds besides the optimizer's, before the first step. */
export function scalerFor({ half }: Pick<Task<Params, Params>, "half">): { scaler?: Scaler } {
  return half ? { scaler: initialScaler() } : {};
}

/** Weights before the first step, in host memory. */
export function initialWeights<P extends Params, Batch extends Params>(
  task: Task<P, Batch>,
): Weights<P> {
  const { params, optimizer, emaDecay } = task;
  const { trainable } = split(params, task);
  const state = { ...optimizer.init(trainable) as StateOf, ...scalerFor(task) };
  return { params, state, ...(emaDecay && { ema: trainable }) };
}

/**
 * A micro-batch's loss and gradients, added to those so far.
 *
 * @param stageOf Is told the stage that makes each gradient.
 */
export function gradientWith<P extends Params, Batch extends Params>(
  task: Task<P, Batch>,
  stageOf: Map<string, string>,
) {
  const { accumulate } = task;
  return (
    { trainable, frozen, running, batch, sofar, first, scale }: GradientArgs<Batch>,
  ): { sofar: Total } => {
    const params = join(task.params, trainable, frozen, running);
    const { loss, terms, statistics } = recomputingBlocks(
      task.recompute ?? false,
      () => measured(task.loss({ params, batch })),
    );
    const finite = checked(task, loss); // before the gradient, so that it need not keep what is checked
    const grads = grad(scale ? mul(loss, scale) : loss, trainable);
    for (const [path, { stage }] of entries<Tensor>(grads)) stageOf.set(path, stage ?? "gradient");
    const fresh: Total = { loss, grads, terms, statistics, finite };
    if (accumulate === 1) return { sofar: fresh };
    const sums = new Map(entries<Tensor>(sofar));
    return inStage("accumulate", () => ({
      sofar: map<Tensor, Tensor, Total>(fresh, (value, path) => {
        const sum = sums.get(path)!;
        if (path.startsWith("finite.")) return where(first, value, mul(sum, value));
        const part = mul(value, 1 / accumulate);
        return where(first, part, add(sum, part));
      }),
    }));
  };
}

function measured(result: Tensor | Measured): Required<Measured> {
  return { terms: {}, statistics: {}, ...("loss" in result ? result : { loss: result }) };
}

/** Which parameters an optimizer changes, a step averages, or neither. */
type Roles = Pick<Task<Params, Params>, "frozen" | "running">;

/** Splits parameters by their paths. */
export function split(
  params: Params,
  { frozen = () => false, running }: Roles = {},
): { trainable: Params; frozen: Params; running: Params } {
  const groups = Map.groupBy(
    entries<Tensor>(params),
    ([path]) => running?.paths(path) ? "running" : frozen(path) ? "frozen" : "trainable",
  );
  const tree = (role: "trainable" | "frozen" | "running") => fromEntries(groups.get(role) ?? []);
  return { trainable: tree("trainable"), frozen: tree("frozen"), running: tree("running") };
}

/** Undoes `split`, in the form of `like`. */
function join<P extends Params>(like: P, ...parts: readonly Params[]): P {
  const all = new Map(parts.flatMap((part) => entries<Tensor>(part)));
  return map<Tensor, Tensor>(like, (_, path) => all.get(path)!);
}

/** A sum to begin with; its flags are those of the task's stages. */
export function zeroTotal<P extends Params, Batch extends Params>(
  task: Task<P, Batch>,
  { trainable, frozen, running, batch }: Record<"trainable" | "frozen" | "running", Params> & {
    batch: Batch;
  },
): Total {
  const params = join(task.params, trainable, frozen, running);
  const { loss, terms, statistics } = measured(task.loss({ params, batch }));
  const zero = ({ shape }: Tensor) => zeros(shape);
  return {
    loss: scalar(0),
    grads: map<Tensor, Tensor>(trainable, zero),
    terms: map<Tensor, Tensor>(terms, zero),
    statistics: map<Tensor, Tensor>(statistics, zero),
    finite: map<Tensor, Tensor>(checked(task, loss), () => scalar(1)),
  };
}

/** Flags of the stages up to the loss, if the task wants them. */
function checked<P extends Params, Batch extends Params>(
  { checks = true }: Task<P, Batch>,
  loss: Tensor,
): Flags {
  return checks ? inStage("checks", () => forwardFlags(loss)) : {};
}

/** Loss, norm, health: the numbers that a step leaves first. Its stages' flags and its loss's parts follow. */
export const METRICS = 3;

/** Clips, checks and applies; `healthy` turns 0 at the first bad step, and nothing changes after it. */
export function updateWith<P extends Params, Batch extends Params>(
  { optimizer, clipNorm, emaDecay, running: averaging }: Task<P, Batch>,
  stageOf: ReadonlyMap<string, string>,
  stages: readonly string[],
) {
  return ({ trainable, running, state, ema, total, healthy, hyper }: UpdateArgs) =>
    inStage("optimizer", () => {
      const { scaler, ...moments } = state as StateOf;
      const unscaled = (x: Tensor) => scaler ? div(x, scaler.scale) : x;
      const norm = unscaled(globalNorm(total.grads));
      const grads = entries<Tensor>(total.grads);
      const finite: Flags = {
        ...total.finite,
        ...gradientFlags(grads.map(([path, grad]) => [stageOf.get(path)!, grad])),
      };
      const flags = stages.map((stage) => finite[stage]);
      const fine = flags.reduce((all, flag) => mul(all, flag), healthy);
      const guard = clipGain(norm, total.loss, fine, clipNorm);
      // Where activations are f16, a step that overflows is left out, and is a fault only if all are.
      const excuse = scaler && canShrink(scaler);
      const health = excuse ? mul(healthy, maximum(guard.healthy, excuse)) : guard.healthy;
      const [updated, updatedMoments] = optimizer.update(
        total.grads,
        moments,
        trainable,
        hyper as Readonly<Record<string, Tensor>>,
        unscaled(guard.gain),
      );
      const mixed = (old: Tensor, now: Tensor, share: number) =>
        where(guard.gain, add(mul(1 - share, old), mul(share, now)), old);
      const news = new Map(Object.entries(total.statistics as Record<string, Tensor>));
      const latest = new Map(entries<Tensor>(updated));
      const terms = Object.values(total.terms as Record<string, Tensor>);
      const numbers = [total.loss, norm, health, ...flags, ...terms].map((x) => reshape(x, [1]));
      return {
        trainable: updated,
        running: map<Tensor, Tensor>(
          running,
          (old, path) => mixed(old, news.get(path)!, averaging!.momentum),
        ),
        state: {
          ...updatedMoments as StateOf,
          ...(scaler && { scaler: nextScaler(scaler, guard.healthy) }),
        },
        ema: map<Tensor, Tensor>(ema, (old, path) => mixed(old, latest.get(path)!, 1 - emaDecay!)),
        healthy: health,
        metrics: concat(numbers, 0),
      };
    });
}
