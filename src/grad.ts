/**
 * Reverse mode, graph → graph.
 *
 * @module
 */
import { inStage } from "./op.ts";
import { add } from "./ops/map.ts";
import { type Application, scalar, sizeOf, type Tensor, zeros } from "./tensor.ts";
import { leaves, map, type Tree } from "./tree.ts";

/**
 * The gradient of a scalar with respect to every leaf of a tree: new nodes of the same graph.
 *
 * @param loss A tensor of one value.
 * @param wrt Tree of the tensors to differentiate by; what the loss does not depend on gets zeros.
 * @returns A tree like `wrt`, each leaf of its leaf's shape.
 * @throws {RangeError} If `loss` has more than one value.
 * @throws {TypeError} If an op on the way has no gradient.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { grad, mul, openDevice, read, sum, tensor } from "@mcmae/mcmae";
 *
 * const x = tensor([1, 2, 3]);
 * const { x: dx } = grad(sum(mul(x, x)), { x });
 * assert.deepEqual([...await read(await openDevice(), dx)], [2, 4, 6]);
 * ```
 */
export function grad<Params extends Tree<Tensor>>(loss: Tensor, wrt: Params): Params {
  if (sizeOf(loss.shape) !== 1) {
    throw new RangeError(
      `Cannot differentiate a loss of shape [${loss.shape}]: it must be one value`,
    );
  }
  const wanted = new Set(leaves<Tensor>(wrt));
  const cotangents = new Map<Tensor, Tensor>();
  cotangents.set(loss, loss.shape.length === 0 ? scalar(1) : { ...scalar(1), shape: loss.shape });

  for (const application of dependents(loss, wanted)) {
    const outgoing = application.outputs.map((output) => cotangents.get(output));
    if (outgoing.every((cotangent) => cotangent === undefined)) continue;
    const { op, inputs, outputs } = application;
    const stage = outputs[0].stage && `${outputs[0].stage} backward`;
    inStage(stage, () => {
      if (!op.vjp) throw new TypeError(`Cannot differentiate ${op.name}: it has no gradient`);
      op.vjp(outgoing, inputs, outputs).forEach((cotangent, i) => {
        if (!cotangent) return;
        const sofar = cotangents.get(inputs[i]);
        cotangents.set(inputs[i], sofar ? add(sofar, cotangent) : cotangent);
      });
    });
  }
  return map<Tensor, Tensor>(wrt, (leaf) => cotangents.get(leaf) ?? zeros(leaf.shape));
}

/** The applications between `wanted` and `loss`, last first. */
function dependents(loss: Tensor, wanted: ReadonlySet<Tensor>): Application[] {
  const depends = new Map<Tensor, boolean>();
  const found = new Map<Application, number>();
  // Iterative, since a graph can be deeper than the stack: children first, then the node itself.
  const stack: Tensor[] = [loss];
  while (stack.length > 0) {
    const tensor = stack.at(-1)!;
    if (depends.has(tensor)) {
      stack.pop();
      continue;
    }
    const inputs = tensor.source.kind === "result" ? tensor.source.application.inputs : [];
    const pending = inputs.filter((input) => !depends.has(input));
    if (pending.length > 0) {
      stack.push(...pending);
      continue;
    }
    stack.pop();
    const through = inputs.some((input) => depends.get(input));
    depends.set(tensor, through || wanted.has(tensor));
    if (through && tensor.source.kind === "result") {
      found.set(tensor.source.application, tensor.source.application.outputs[0].id);
    }
  }
  return [...found.keys()].sort((a, b) => found.get(b)! - found.get(a)!);
}
