/**
 * Ops: what can be done to tensors, and the one place where a result node is made.
 *
 * @module
 */
import { type ConstantOf, type Kernel, type KernelName, kernels } from "../kernels/mod.ts";
import { type Application, type Aval, node, type Tensor } from "./tensor.ts";

/** What a lowering may know of the adapter it is for. */
export interface Target {
  /** A software adapter, which runs best on register tiles. */
  readonly cpu: boolean;
  /** Whether 8 invocations of a workgroup can broadcast to each other. */
  readonly broadcast: boolean;
}

/** One launch of a kernel. */
export interface Dispatch {
  /** Name of the kernel, for labels. */
  readonly kernel: string;
  readonly program: Kernel;
  readonly constants: Readonly<Record<string, number | boolean>>;
  /** One entry a binding: positions in the list of inputs, then outputs. */
  readonly operands: readonly number[];
  readonly workgroups: readonly [x: number, y: number, z: number];
  /** Values in an elem: 4 where the shader's `alias elem = f32;` becomes `vec4f`. */
  readonly lanes: 1 | 4;
}

/** How an op becomes work. */
export type Lowering =
  | { readonly kind: "view" } // same buffer, no dispatch
  | { readonly kind: "map"; readonly expression: string } // elementwise in $0, $1 …; may be fused
  | { readonly kind: "kernel"; readonly dispatches: (target: Target) => readonly Dispatch[] };

/** One operation with all its sizes fixed. */
export interface Op {
  readonly name: string;
  /** Equal keys on equal inputs are the same value. */
  readonly key: string;
  readonly outputs: readonly Aval[];
  readonly lowering: Lowering;
  /** Cotangents of the inputs, or undefined for an input that has none. */
  readonly vjp?: (
    cotangents: readonly (Tensor | undefined)[],
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
  ) => readonly (Tensor | undefined)[];
}

let currentStage: string | undefined;

/** Labels every node that `fn` makes; an inner label wins over an outer one. */
export function inStage<Result>(stage: string | undefined, fn: () => Result): Result {
  const outer = currentStage;
  currentStage = stage;
  try {
    return fn();
  } finally {
    currentStage = outer;
  }
}

/** Applies an op and returns all its results. */
export function applyAll(op: Op, inputs: readonly Tensor[]): readonly Tensor[] {
  const outputs: Tensor[] = [];
  const application: Application = { op, inputs, outputs };
  op.outputs.forEach((aval, output) =>
    outputs.push(node(aval, { kind: "result", application, output }, currentStage))
  );
  return outputs;
}

/** Applies an op and returns its first result. */
export function apply(op: Op, inputs: readonly Tensor[]): Tensor {
  return applyAll(op, inputs)[0];
}

/** A dispatch whose constants are checked against the kernel's. */
export function dispatch<K extends KernelName>(
  kernel: K,
  constants: Readonly<Record<ConstantOf<K>, number | boolean>>,
  operands: readonly number[],
  workgroups: readonly [number, number, number],
  lanes: 1 | 4 = 1,
): Dispatch {
  return { kernel, program: kernels[kernel], constants, operands, workgroups, lanes };
}

/** Workgroups for `count` invocations in workgroups of 64; the grid turns 2-D past 65535. */
export function workgroups(count: number): [number, number, number] {
  const groups = Math.ceil(count / 64);
  const x = Math.min(groups, 65535);
  return [x, Math.ceil(groups / x), 1];
}
