/**
 * From tensors to a list of steps: what the results need, in order, without repeats.
 *
 * @module
 */
import type { Op } from "../op.ts";
import type { Application, Aval, Shape, Source, Tensor } from "../tensor.ts";

/** What lies in one buffer. Views share the value of what they view. */
export interface Value extends Aval {
  readonly name: string;
  readonly stage?: string;
  /** Undefined for the result of a step. */
  readonly source?: Exclude<Source, { kind: "result" }>;
}

/** An operand: a value, seen in a shape. */
export interface Operand {
  readonly value: number;
  readonly shape: Shape;
}

/** One op to carry out. */
export interface Step {
  readonly op: Op;
  readonly stage?: string;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly number[];
}

/** Steps in execution order; `results` are the values that the caller asked for. */
export interface Graph {
  readonly values: readonly Value[];
  readonly steps: readonly Step[];
  readonly results: readonly number[];
}

/**
 * Lists the steps beneath tensors. Unreached nodes do not appear; equal ops on equal inputs become
 * one step; views vanish.
 */
export function trace(tensors: readonly Tensor[]): Graph {
  const values: Value[] = [];
  const steps: Step[] = [];
  const valueOf = new Map<Tensor, number>();
  const known = new Map<string, readonly number[]>();
  const constants = new Map<unknown, number>();

  for (const item of inOrder(tensors)) {
    if ("source" in item) {
      const source = item.source as Exclude<Source, { kind: "result" }>;
      const identity = source.kind === "host"
        ? source.data
        : source.kind === "device"
        ? source.buffer
        : item;
      const value = constants.get(identity) ??
        values.push({ ...avalOf(item), name: source.kind, stage: item.stage, source }) - 1;
      constants.set(identity, value);
      valueOf.set(item, value);
      continue;
    }
    const { op, outputs } = item;
    const inputs = item.inputs.map((input) => ({ value: valueOf.get(input)!, shape: input.shape }));
    if (op.lowering.kind === "view") {
      valueOf.set(outputs[0], inputs[0].value);
      continue;
    }
    const key = `${op.key}|${inputs.map(({ value, shape }) => `${value}:${shape}`).join("|")}`;
    let results = known.get(key);
    if (!results) {
      const stage = outputs[0].stage;
      results = op.outputs.map((aval) => values.push({ ...aval, name: op.name, stage }) - 1);
      steps.push({ op, stage, inputs, outputs: results });
      known.set(key, results);
    }
    outputs.forEach((output, i) => valueOf.set(output, results[i]));
  }
  return { values, steps, results: tensors.map((tensor) => valueOf.get(tensor)!) };
}

function avalOf({ shape, dtype }: Tensor): Aval {
  return { shape, dtype };
}

/** Sources and applications beneath tensors, by creation, which is execution order. */
function inOrder(tensors: readonly Tensor[]): (Tensor | Application)[] {
  const order = new Map<Tensor | Application, number>();
  const stack = [...tensors];
  while (stack.length > 0) {
    const tensor = stack.pop()!;
    if (tensor.source.kind !== "result") {
      order.set(tensor, tensor.id);
      continue;
    }
    const { application } = tensor.source;
    if (order.has(application)) continue;
    order.set(application, application.outputs[0].id);
    stack.push(...application.inputs);
  }
  return [...order.keys()].sort((a, b) => order.get(a)! - order.get(b)!);
}
