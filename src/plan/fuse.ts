/**
 * Elementwise steps that follow each other become one.
 *
 * @module
 */
import { type Shape, sizeOf } from "../tensor.ts";
import { readingOf } from "./map.ts";
import type { Graph, Operand, Step } from "./trace.ts";

/** An operand of a group, broadcast to a shape of the group's size. */
export interface GroupInput extends Operand {
  readonly to: Shape;
}

/** A kernel step, or elementwise steps of equal size to run as one. */
export interface Group {
  readonly steps: readonly Step[];
  readonly inputs: readonly GroupInput[];
  /** Values that something outside the group needs. */
  readonly outputs: readonly number[];
}

/** Whether the step is elementwise. */
export function isMap(step: Step): boolean {
  return step.op.lowering.kind === "map";
}

/**
 * Groups the steps of a graph. A group runs at the place of its last step; a step joins the groups
 * of its operands, and so joins them, where nothing outside needs one of them earlier.
 *
 * @param limit Operands and results that a kernel may bind.
 * @param fuse False leaves every step alone, as the reference to test against.
 */
export function fuse(graph: Graph, limit: number, fuse = true): Group[] {
  const users = new Map<number, number[]>(); // value → steps that read it
  graph.steps.forEach((step, i) => {
    for (const { value } of step.inputs) users.set(value, [...users.get(value) ?? [], i]);
  });
  const results = new Set(graph.results);
  const groupOf = new Map<number, number[]>(); // value → its group, as steps
  const groups = new Set<number[]>();

  const describe = (members: readonly number[]): Group => {
    const steps = members.map((i) => graph.steps[i]);
    const made = new Set(steps.flatMap((step) => step.outputs));
    const inputs = new Map<string, GroupInput>();
    for (const { op, inputs: operands } of steps) {
      for (const operand of operands) {
        const input = { ...operand, to: op.outputs[0].shape };
        const key = isMap(steps[0]) ? readingOf(input) : `${operand.value}`;
        if (!made.has(operand.value)) inputs.set(key, input);
      }
    }
    const inside = new Set(members);
    const outputs = [...made].filter((value) =>
      !isMap(steps[0]) || results.has(value) || users.get(value)?.some((user) => !inside.has(user))
    );
    return { steps, inputs: [...inputs.values()], outputs };
  };

  // The group would run at its last step: whatever else needs a member must come after that.
  const fits = (members: readonly number[]): boolean => {
    const inside = new Set(members);
    const last = Math.max(...members);
    const early = members.some((member) =>
      graph.steps[member].outputs.some((value) =>
        users.get(value)?.some((user) => user < last && !inside.has(user))
      )
    );
    if (early) return false;
    const { inputs, outputs } = describe(members);
    return inputs.length + outputs.length <= limit;
  };

  graph.steps.forEach((step, i) => {
    let group = [i];
    if (fuse && isMap(step)) {
      const size = sizeOf(step.op.outputs[0].shape);
      for (const makers of new Set(step.inputs.map(({ value }) => groupOf.get(value)))) {
        if (!makers || sizeOf(graph.steps[makers[0]].op.outputs[0].shape) !== size) continue;
        const joined = [...makers, ...group].sort((a, b) => a - b);
        if (!fits(joined)) continue;
        groups.delete(makers);
        group = joined;
      }
    }
    groups.add(group);
    if (isMap(step)) {
      for (const member of group) groupOf.set(graph.steps[member].outputs[0], group);
    }
  });
  return [...groups].sort((a, b) => a.at(-1)! - b.at(-1)!).map(describe);
}
