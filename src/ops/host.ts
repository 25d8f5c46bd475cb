/**
 * Computations on the host in the middle of a graph, for what is a few decisions on little data:
 * sorting, choosing, matching.
 *
 * @module
 */
import { applyAll } from "../op.ts";
import type { Aval, HostArray, Tensor } from "../tensor.ts";

let count = 0;

/**
 * Applies a function to values in host memory. A plan waits for its inputs, so it costs a read-back,
 * about 11 ms; only `runAsync` runs such a plan. No gradient flows through it.
 *
 * @param name For timings and errors.
 * @param compute Pure: values of the inputs, in row-major order, to those of the results.
 * @param outputs Shapes and types of the results.
 */
export function onHost(
  name: string,
  compute: (inputs: readonly HostArray[]) => readonly HostArray[],
  inputs: readonly Tensor[],
  outputs: readonly Aval[],
): readonly Tensor[] {
  return applyAll({
    name,
    key: `host:${count++}`,
    outputs,
    lowering: { kind: "host", compute },
    vjp: () => inputs.map(() => undefined),
  }, inputs);
}
