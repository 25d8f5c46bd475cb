/**
 * The two graphs of a training step with their arguments: what `train.ts` compiles, and what can be
 * drafted without a device.
 *
 * @module
 */
import type { Params } from "../src/optim.ts";
import type { CompileOptions } from "../src/plan/draft.ts";
import { scalar, type Tensor } from "../src/tensor.ts";
import {
  type GradientArgs,
  gradientWith,
  scaleOf,
  split,
  type Task,
  type Total,
  type UpdateArgs,
  updateWith,
  type Weights,
  zeroTotal,
} from "./train_step.ts";

/** A function and what to compile it for. */
export interface Call<Args, Results> {
  readonly fn: (args: Args) => Results;
  readonly args: Args;
  readonly options: CompileOptions;
}

/** The gradients of a micro-batch, added to those so far. */
export interface GradientCall<Batch extends Params>
  extends Call<GradientArgs<Batch>, { sofar: Total }> {
  /** The stage that makes each gradient, by path; known once the function was traced. */
  readonly stageOf: ReadonlyMap<string, string>;
}

/** The sum that a task's gradients are added to; empty where one micro-batch makes a step. */
export function startOf<P extends Params, Batch extends Params>(
  task: Task<P, Batch>,
  { params }: Pick<Weights, "params">,
  batch: Batch,
): Total | Record<string, never> {
  return task.accumulate === 1 ? {} : zeroTotal(task, { ...split(params, task), batch });
}

/** @param sofar See {@linkcode startOf}. */
export function gradientCall<P extends Params, Batch extends Params>(
  task: Task<P, Batch>,
  { params, state }: Pick<Weights, "params" | "state">,
  batch: Batch,
  sofar: Total | Record<string, never>,
): GradientCall<Batch> {
  const stageOf = new Map<string, string>();
  return {
    fn: gradientWith(task, stageOf),
    args: { ...split(params, task), batch, sofar, first: scalar(1), ...scaleOf(state) },
    options: { donate: ["sofar"], half: task.half },
    stageOf,
  };
}

/** The optimizer's update. */
export interface UpdateCall extends Call<UpdateArgs, ReturnType<ReturnType<typeof updateWith>>> {
  /** Stages that have a flag, in order of the forward pass, then of the gradient. */
  readonly stages: readonly string[];
}

/**
 * @param stageOf As the gradient's function left it.
 * @param healthy 1, where the update keeps it.
 */
export function updateCall<P extends Params, Batch extends Params>(
  task: Task<P, Batch>,
  { params, state, ema = {} }: Weights,
  total: Total,
  stageOf: ReadonlyMap<string, string>,
  healthy: Tensor,
): UpdateCall {
  const forward = Object.keys(total.finite);
  const backward = task.checks === false ? [] : [...new Set(stageOf.values())];
  const depth = (stage: string) => forward.findIndex((name) => stage.startsWith(name));
  const stages = [...forward, ...backward.sort((a, b) => depth(b) - depth(a))];
  const { trainable, running } = split(params, task);
  return {
    fn: updateWith(task, stageOf, stages),
    args: {
      ...{ trainable, running, state, ema, healthy, total },
      hyper: task.optimizer.hyper(1, 0),
    },
    options: { donate: ["trainable", "running", "state", "ema", "healthy"] },
    stages,
  };
}
