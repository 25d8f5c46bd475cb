/**
 * Whether a step's numbers are finite, stage by stage, as flags on the device.
 *
 * @module
 */
import { add, isFinite } from "../src/ops/map.ts";
import { sumOfSquares } from "../src/ops/reduce.ts";
import type { Location } from "../src/plan/launch.ts";
import type { Tensor } from "../src/tensor.ts";

/** A flag by stage: 1 where all is finite, else 0. */
export type Flags = { readonly [stage: string]: Tensor };

/** Raised when a loss or gradient is not finite; parameters are those before the step. */
export class NonFiniteError extends Error {
  override name = "NonFiniteError";
  /**
   * @param step The bad step, from 1.
   * @param position Samples seen up to its end.
   * @param stage First stage whose results were bad.
   * @param location First op whose results are, if repeating the step shows it.
   */
  constructor(
    readonly step: number,
    readonly position: number,
    readonly stage: string,
    readonly location: Location | undefined,
  ) {
    const first = location
      ? `first in ${location.op} [${location.shape}] of stage ${location.stage ?? stage}`
      : `first in stage ${stage}, in no single op when the step is repeated`;
    super(`Loss or gradient is not finite at step ${step}: ${first}`);
  }
}

/**
 * Flags of what every stage hands on: the values that another stage reads, and the loss.
 *
 * @param loss Result of the last stage.
 * @returns Scalars, in order of the stages.
 */
export function forwardFlags(loss: Tensor): Flags {
  const handed = new Map<Tensor, string>([[loss, loss.stage ?? "loss"]]);
  const seen = new Set<Tensor>();
  const stack = [loss];
  while (stack.length > 0) {
    const tensor = stack.pop()!;
    if (seen.has(tensor) || tensor.source.kind !== "result") continue;
    seen.add(tensor);
    for (const input of tensor.source.application.inputs) {
      stack.push(input);
      if (input.source.kind !== "result" || input.dtype !== "f32" || !input.stage) continue;
      if (input.stage !== tensor.stage) handed.set(input, input.stage);
    }
  }
  const inOrder = [...handed].sort(([a], [b]) => a.id - b.id);
  return flagsOf(inOrder.map(([tensor, stage]) => [stage, sumOfSquares(tensor)]));
}

/**
 * Flags of gradients, by the stage that makes them.
 *
 * @param grads Gradients, each with the name of its stage.
 */
export function gradientFlags(grads: Iterable<readonly [stage: string, grad: Tensor]>): Flags {
  return flagsOf([...grads].map(([stage, grad]) => [stage, sumOfSquares(grad)]));
}

function flagsOf(sums: readonly (readonly [stage: string, sum: Tensor])[]): Flags {
  const byStage = Map.groupBy(sums, ([stage]) => stage);
  return Object.fromEntries(
    [...byStage].map(([stage, list]) => [
      stage,
      isFinite(list.map(([, sum]) => sum).reduce(add)),
    ]),
  );
}
