/**
 * What an adapter can bind and launch, looked at before anything is allocated.
 *
 * @module
 */
import type { Adapter } from "../device.ts";
import { bytesOf, type Shape } from "../tensor.ts";
import type { Graph } from "./trace.ts";

/** Raised where an adapter cannot bind or launch what a graph needs. */
export class LimitError extends RangeError {
  /** @param reason What is too much, in half a sentence. */
  constructor(readonly reason: string) {
    super(`Use a smaller batch, image or model: ${reason}`);
  }
}

/** A tensor that a graph binds. */
export interface Binding {
  /** Path of the argument, or name of the op. */
  readonly name: string;
  readonly stage?: string;
  readonly shape: Shape;
  readonly bytes: number;
}

/**
 * The tensors that a graph binds, in order.
 *
 * @param paths Names of the arguments.
 */
export function bindingsOf({ values }: Graph, paths: readonly string[]): Binding[] {
  return values.map((value) => ({
    name: value.source?.kind === "argument" ? paths[value.source.index] : value.name,
    stage: value.stage,
    shape: value.shape,
    bytes: bytesOf(value),
  }));
}

/**
 * Refuses what the adapter cannot bind or launch.
 *
 * @param paths Names of the arguments.
 * @throws {LimitError} Names the tensor and its stage.
 */
export function checkLimits(
  { name, limits, target }: Adapter,
  graph: Graph,
  paths: readonly string[],
): void {
  const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const place = (stage?: string) => stage ? ` in stage ${stage}` : "";
  for (const { name: what, shape, stage, bytes } of bindingsOf(graph, paths)) {
    if (bytes <= limits.bindingBytes) continue;
    throw new LimitError(
      `${what} [${shape}]${place(stage)} takes ${mebibytes(bytes)}, ` +
        `and ${name} binds at most ${mebibytes(limits.bindingBytes)}`,
    );
  }
  for (const { op, stage } of graph.steps) {
    if (op.lowering.kind !== "kernel") continue;
    const counts = op.lowering.dispatches(target).flatMap(({ workgroups }) => workgroups);
    if (counts.every((count) => count <= limits.workgroups)) continue;
    throw new LimitError(
      `${op.name} [${op.outputs[0].shape}]${place(stage)} takes ${Math.max(...counts)} ` +
        `workgroups along an axis, and ${name} launches ${limits.workgroups}`,
    );
  }
}
