/**
 * Memory for time: what lies between a block's inputs and its result is computed again for the
 * gradient, not kept from the forward pass (arXiv:1604.06174).
 *
 * @module
 */
import { pullback } from "./grad.ts";
import { anew, apply } from "./op.ts";
import { type Tensor, upcomingId } from "./tensor.ts";

/**
 * Computes a tensor, and computes it again where its gradient is taken. The numbers are the same; of
 * what `fn` makes on the way, nothing outlives the forward pass.
 *
 * @param fn A pure function of tensors that are there already: it is called once more for each
 *   gradient, and must make the same again.
 * @returns The tensor that `fn` returns.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { exp, grad, openDevice, readAll, recompute, sum, tensor } from "@mcmae/mcmae";
 *
 * const x = tensor([0, 1]);
 * const slopes = [exp(exp(x)), recompute(() => exp(exp(x)))].map((y) => grad(sum(y), x));
 * const [kept, computed] = await readAll(await openDevice(), slopes);
 * assert.deepEqual(kept, computed);
 * ```
 */
export function recompute(fn: () => Tensor): Tensor {
  const since = upcomingId();
  const y = fn();
  if (y.id < since) return y; // made elsewhere
  const given = inputsOf(y, since);
  return apply({
    name: "recompute",
    key: "recompute",
    outputs: [y],
    lowering: { kind: "view" },
    // No cotangent for y: the first copy is not differentiated, so nothing keeps it.
    vjp: ([dy], _inputs, _outputs, [, ...wanted]) => {
      const since = upcomingId();
      const again = anew(fn);
      const cotangents = pullback([again], [dy!], given.filter((_, i) => wanted[i]), since);
      return [undefined, ...wanted.map((counts) => counts ? cotangents.shift() : undefined)];
    },
  }, [y, ...given]);
}

/** What the nodes beneath `y` read that is older than they are. */
function inputsOf(y: Tensor, since: number): Tensor[] {
  const found = new Set<Tensor>();
  const seen = new Set<Tensor>();
  const stack = [y];
  while (stack.length > 0) {
    const tensor = stack.pop()!;
    if (tensor.id < since) found.add(tensor);
    else if (tensor.source.kind === "result" && !seen.has(tensor)) {
      seen.add(tensor);
      stack.push(...tensor.source.application.inputs);
    }
  }
  return [...found];
}

let isOn = false;

/** Whether the blocks that `fn` makes are computed again for their gradients. */
export function recomputingBlocks<Result>(on: boolean, fn: () => Result): Result {
  const outer = isOn;
  isOn = on;
  try {
    return fn();
  } finally {
    isOn = outer;
  }
}

/** A block of a model: computed again for its gradient where the caller of the model wants that. */
export function inBlock(fn: () => Tensor): Tensor {
  return isOn ? recompute(fn) : fn();
}
