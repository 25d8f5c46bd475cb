/**
 * Groups in an order that keeps fewer values.
 *
 * @module
 */
import type { Group } from "./fuse.ts";
import { type Outcome, valuesOfArguments } from "./place.ts";
import type { Graph } from "./trace.ts";

/**
 * Moves groups that only make results for donated arguments, such as sums of gradients, to where
 * their inputs are there, and what else reads the arguments has done so: the results have their
 * buffers anyway, and what the groups read may die.
 */
export function hoist(
  graph: Graph,
  groups: readonly Group[],
  outcomes: readonly Outcome[],
): Group[] {
  const valueOfArgument = valuesOfArguments(graph);
  const donorOf = new Map(
    outcomes.filter(({ argument }) => argument >= 0)
      .map(({ value, argument }) => [value, valueOfArgument.get(argument)]),
  );
  const made = new Map<number, number>(); // value → place of its group
  const read = new Map<number, number>(); // value → last place of those that read it
  const places = groups.map(({ inputs, outputs }, i) => {
    const needs = inputs.map(({ value }) => made.get(value) ?? -1);
    const donors = outputs.map((value) => read.get(donorOf.get(value) ?? -1) ?? -1);
    const isLast = outputs.every((value) => donorOf.has(value));
    const place = isLast ? Math.max(-1, ...needs, ...donors) : i;
    for (const value of outputs) made.set(value, place);
    for (const { value } of inputs) read.set(value, Math.max(place, read.get(value) ?? -1));
    return place;
  });
  return groups.keys().toArray().sort((a, b) => places[a] - places[b] || a - b)
    .map((i) => groups[i]);
}
