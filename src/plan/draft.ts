/**
 * Drafts: all of a plan that needs no device.
 *
 * @module
 */
import type { Adapter } from "../device.ts";
import type { Target } from "../op.ts";
import { bytesOf, node, type Tensor } from "../tensor.ts";
import { entries, map, type Tree } from "../tree.ts";
import { fuse, type Fusion, type Group } from "./fuse.ts";
import { halveActivations } from "./half.ts";
import { checkLimits } from "./limits.ts";
import { hoist } from "./order.ts";
import { type Outcome, place, type Placement } from "./place.ts";
import { type Graph, trace } from "./trace.ts";

export interface CompileOptions {
  /** Arguments, by path or its beginning, whose buffers the results at the same paths take over. */
  readonly donate?: readonly string[];
  /** By default all on a GPU, and maps on a CPU adapter, where compiling costs more than a pass. */
  readonly fuse?: Fusion;
  /** Whether activations lie in memory as f16; the adapter must have `shader-f16`. */
  readonly half?: boolean;
}

/** A function, traced. */
export interface Traced<Results> {
  /** The arguments with their paths. */
  readonly given: readonly (readonly [path: string, leaf: Tensor])[];
  /** What the function returned, as nodes. */
  readonly returned: Results;
  readonly graph: Graph;
}

/** Steps, joined and with their values placed. */
export interface Draft<Results> extends Traced<Results> {
  readonly groups: readonly Group[];
  readonly outcomes: readonly Outcome[];
  readonly placement: Placement;
}

/**
 * Traces a function for an adapter.
 *
 * @param args Tensors of the shapes to trace for.
 * @throws {LimitError} If the adapter cannot bind or launch what it takes.
 */
export function traceFor<Args extends Tree<Tensor>, Results extends Tree<Tensor>>(
  adapter: Adapter,
  fn: (args: Args) => Results,
  args: Args,
  { half = false }: CompileOptions = {},
): Traced<Results> {
  const given = entries<Tensor>(args);
  const holes = given.map(([, leaf], index) => node(leaf, { kind: "argument", index }));
  let next = 0;
  const returned = fn(map<Tensor, Tensor, Args>(args, () => holes[next++]));
  const traced = trace(entries<Tensor>(returned).map(([, leaf]) => leaf));
  const graph = half ? halveActivations(traced) : traced;
  checkLimits(adapter, graph, given.map(([path]) => path));
  return { given, returned, graph };
}

/**
 * Plans a function for an adapter, but for buffers and pipelines.
 *
 * @throws {LimitError} As {@linkcode traceFor}.
 */
export function draft<Args extends Tree<Tensor>, Results extends Tree<Tensor>>(
  adapter: Adapter,
  fn: (args: Args) => Results,
  args: Args,
  options: CompileOptions = {},
): Draft<Results> {
  const { donate = [], fuse: fusion = adapter.target.cpu ? "maps" : "all" } = options;
  const traced = traceFor(adapter, fn, args, options);
  const { given, returned, graph } = traced;
  const outcomes = entries<Tensor>(returned).map(([path, leaf], i) => ({
    value: graph.results[i],
    argument: given.findIndex(([from, argument]) =>
      from === path && bytesOf(argument) === bytesOf(leaf) &&
      donate.some((prefix) => path === prefix || path.startsWith(`${prefix}.`))
    ),
  }));
  const groups = hoist(graph, fuse(graph, adapter.limits.bindings, fusion), outcomes);
  const unbound = unboundOf(graph, adapter.target);
  return { ...traced, groups, outcomes, placement: place(graph, groups, outcomes, unbound) };
}

/** Results that no launch binds: scratch space that ops need on other adapters. */
function unboundOf({ steps }: Graph, target: Target): Set<number> {
  return new Set(steps.flatMap(({ op: { lowering }, inputs, outputs }) => {
    if (lowering.kind !== "kernel") return [];
    const bound = new Set(lowering.dispatches(target).flatMap(({ operands }) => operands));
    return outputs.filter((_, i) => !bound.has(inputs.length + i));
  }));
}
