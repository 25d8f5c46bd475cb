/**
 * Reverse mode, graph → graph.
 *
 * @module
 */
import { backward, inStage } from "./op.ts";
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
  const one = loss.shape.length === 0 ? scalar(1) : { ...scalar(1), shape: loss.shape };
  const cotangents = pullback([loss], [one], leaves<Tensor>(wrt));
  let next = 0;
  return map<Tensor, Tensor>(wrt, (leaf) => cotangents[next++] ?? zeros(leaf.shape));
}

/**
 * Cotangents of tensors from those of results: new nodes of the same graph.
 *
 * @param since Nodes with smaller ids count as given: what they were made of is not looked at.
 * @returns One for each of `wrt`; undefined where no result depends on it.
 * @throws {TypeError} If an op on the way has no gradient.
 */
export function pullback(
  results: readonly Tensor[],
  given: readonly Tensor[],
  wrt: readonly Tensor[],
  since = 0,
): (Tensor | undefined)[] {
  const cotangents = new Map<Tensor, Tensor>();
  const receive = (tensor: Tensor, cotangent: Tensor) => {
    const sofar = cotangents.get(tensor);
    cotangents.set(tensor, sofar ? add(sofar, cotangent) : cotangent);
  };
  results.forEach((result, i) => receive(result, given[i]));

  const { applications, depends } = between(results, new Set(wrt), since);
  for (const { op, inputs, outputs } of applications) {
    const outgoing = outputs.map((output) => cotangents.get(output));
    if (outgoing.every((cotangent) => cotangent === undefined)) continue;
    const { stage } = outputs[0];
    inStage(stage && backward(stage), () => {
      if (!op.vjp) throw new TypeError(`Cannot differentiate ${op.name}: it has no gradient`);
      const wanted = inputs.map((input) => depends.get(input)!);
      op.vjp(outgoing, inputs, outputs, wanted).forEach((cotangent, i) => {
        if (cotangent) receive(inputs[i], cotangent);
      });
    });
  }
  return wrt.map((tensor) => cotangents.get(tensor));
}

/** The applications between `wanted` and results, last first, and what depends on `wanted`. */
function between(
  results: readonly Tensor[],
  wanted: ReadonlySet<Tensor>,
  since: number,
): { applications: Application[]; depends: ReadonlyMap<Tensor, boolean> } {
  const depends = new Map<Tensor, boolean>();
  const found = new Map<Application, number>();
  // Iterative, since a graph can be deeper than the stack: children first, then the node itself.
  const stack = [...results];
  while (stack.length > 0) {
    const tensor = stack.at(-1)!;
    if (depends.has(tensor)) {
      stack.pop();
      continue;
    }
    const { source, id } = tensor;
    const inputs = source.kind === "result" && id >= since ? source.application.inputs : [];
    const pending = inputs.filter((input) => !depends.has(input));
    if (pending.length > 0) {
      stack.push(...pending);
      continue;
    }
    stack.pop();
    const through = inputs.some((input) => depends.get(input));
    depends.set(tensor, through || wanted.has(tensor));
    if (through && source.kind === "result") {
      found.set(source.application, source.application.outputs[0].id);
    }
  }
  const applications = [...found.keys()].sort((a, b) => found.get(b)! - found.get(a)!);
  return { applications, depends };
}
