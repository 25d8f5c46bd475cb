/**
 * Elementwise steps that follow each other, or a product, become one.
 *
 * @module
 */
import { type Shape, sizeOf } from "../tensor.ts";
import { isReadInFours, readingOf } from "./map.ts";
import type { Graph, Operand, Step } from "./trace.ts";

/**
 * What becomes one: nothing, as the reference to test against; elementwise steps; or also these and the
 * product before them, which saves a pass over its result, but takes twice as long to compile.
 */
export type Fusion = "none" | "maps" | "all";

/** An operand of a group, broadcast to a shape of the group's size. */
export interface GroupInput extends Operand {
  readonly to: Shape;
}

/** A kernel step, elementwise steps of equal size to run as one, or both: these end the kernel. */
export interface Group {
  /** All, in order. */
  readonly steps: readonly Step[];
  readonly kernel?: Step;
  readonly maps: readonly Step[];
  /** What the group reads. */
  readonly inputs: readonly Operand[];
  /** What its elementwise steps read. */
  readonly operands: readonly GroupInput[];
  /** Values that something outside the group needs. */
  readonly outputs: readonly number[];
}

/** Whether the step is elementwise. */
function isMap(step: Step): boolean {
  return step.op.lowering.kind === "map";
}

/** Whether elementwise steps can end the step's kernel. */
function takesEpilogue({ op: { lowering } }: Step): boolean {
  return lowering.kind === "kernel" && lowering.epilogue === true;
}

/**
 * Groups the steps of a graph. A group runs at the place of its last step; a step joins the groups
 * of its operands, and so joins them, where nothing outside needs one of them earlier.
 *
 * @param limit Operands and results that a kernel may bind.
 */
export function fuse(graph: Graph, limit: number, fusion: Fusion = "all"): Group[] {
  const users = new Map<number, number[]>(); // value → steps that read it
  graph.steps.forEach((step, i) => {
    for (const { value } of step.inputs) users.set(value, [...users.get(value) ?? [], i]);
  });
  const results = new Set(graph.results);
  const groupOf = new Map<number, number[]>(); // value → its group, as steps
  const groups = new Set<number[]>();

  const describe = (members: readonly number[]): Group => {
    const steps = members.map((i) => graph.steps[i]);
    const kernel = steps.find((step) => !isMap(step));
    const maps = steps.filter(isMap);
    const made = new Set(steps.flatMap((step) => step.outputs));
    const operands = new Map<string, GroupInput>();
    for (const { op, inputs } of maps) {
      for (const operand of inputs) {
        const input = { ...operand, to: op.outputs[0].shape };
        if (!made.has(operand.value)) operands.set(readingOf(input), input);
      }
    }
    const inside = new Set(members);
    const outputs = [...made].filter((value) =>
      maps.length === 0 || results.has(value) || users.get(value)?.some((user) => !inside.has(user))
    );
    return {
      ...{ steps, kernel, maps, outputs, operands: [...operands.values()] },
      inputs: [...kernel?.inputs ?? [], ...operands.values()],
    };
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
    const { steps, kernel, operands, inputs, outputs } = describe(members);
    if (inputs.length + outputs.length > limit) return false;
    if (!kernel) return true;
    const made = new Set(steps.flatMap((step) => step.outputs));
    return steps.every((step) => step === kernel || isMap(step)) && // one kernel
      kernel.inputs.every(({ value }) => !made.has(value)) && operands.every(isReadInFours);
  };

  graph.steps.forEach((step, i) => {
    let group = [i];
    if (fusion !== "none" && isMap(step)) {
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
    if (isMap(step) || fusion === "all" && takesEpilogue(step)) {
      for (const member of group) groupOf.set(graph.steps[member].outputs[0], group);
    }
  });
  return [...groups].sort((a, b) => a.at(-1)! - b.at(-1)!).map(describe);
}
