/**
 * Ops: what can be done to tensors, and the one place where a result node is made.
 *
 * @module
 */
import { type ConstantOf, type Kernel, type KernelName, kernels } from "../kernels/mod.ts";
import { type Application, type Aval, type HostArray, node, type Tensor } from "./tensor.ts";

/** What a lowering may know of the adapter it is for. */
export interface Target {
  /** A software adapter, which runs best on register tiles. */
  readonly cpu: boolean;
  /** Whether 8 invocations of a workgroup can broadcast to each other. */
  readonly broadcast: boolean;
  /** Names of the kernels that were measured to be fastest, by what they compute; see calibrate(). */
  readonly choices?: ReadonlyMap<string, string>;
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
  /** Where other kernels could do the same, and which is fastest depends on the adapter. */
  readonly variants?: Variants;
}

/** Launches of different kernels for the same operands and results. */
export interface Variants {
  /** What they compute, by all that their speed depends on. */
  readonly key: string;
  readonly candidates: readonly Dispatch[];
}

/** How an op becomes work. */
export type Lowering =
  | { readonly kind: "view" } // same buffer, no dispatch
  | { readonly kind: "map"; readonly expression: string } // elementwise in $0, $1 …; may be fused
  | {
    readonly kind: "kernel";
    readonly dispatches: (target: Target) => readonly Dispatch[];
    /** Whether elementwise steps may be written into the one dispatch where it stores its one result. */
    readonly epilogue?: boolean;
  }
  | {
    readonly kind: "host"; // no dispatch: the plan is interrupted
    readonly compute: (inputs: readonly HostArray[]) => readonly HostArray[];
  };

/** One operation with all its sizes fixed. */
export interface Op {
  readonly name: string;
  /** Equal keys on equal inputs are the same value. */
  readonly key: string;
  readonly outputs: readonly Aval[];
  readonly lowering: Lowering;
  /**
   * Additions, multiplications and functions that the results take, whichever kernels make them: what
   * these compute twice, or fill up, does not count. If left out, one a value of a map, none of a kernel.
   */
  readonly flops?: number;
  /**
   * Whether the first result is an activation or the gradient of one, which may be stored in half
   * precision: always, or where an input is.
   */
  readonly activation?: "always" | "follows";
  /**
   * Cotangents of the inputs, or undefined for an input that has none; `wanted` says which of them
   * count.
   */
  readonly vjp?: (
    cotangents: readonly (Tensor | undefined)[],
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
    wanted: readonly boolean[],
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

/** The label of what a stage's gradient is made of. */
export function backward(stage: string): string {
  return stage.endsWith(" backward") ? stage : `${stage} backward`;
}

let copies = 0;
let currentCopy: number | undefined;

/**
 * Computes what `fn` makes anew, for a gradient: none of its ops is merged with an equal one made
 * elsewhere, and all are labelled as parts of the gradient.
 */
export function anew<Result>(fn: () => Result): Result {
  const outer = currentCopy;
  currentCopy = ++copies;
  try {
    return fn();
  } finally {
    currentCopy = outer;
  }
}

/** Applies an op and returns all its results. */
export function applyAll(op: Op, inputs: readonly Tensor[]): readonly Tensor[] {
  const isCopy = currentCopy !== undefined;
  const own = isCopy ? { ...op, key: `${op.key}#${currentCopy}` } : op;
  const stage = isCopy && currentStage !== undefined ? backward(currentStage) : currentStage;
  const outputs: Tensor[] = [];
  const application: Application = { op: own, inputs, outputs };
  op.outputs.forEach((aval, output) =>
    outputs.push(node(aval, { kind: "result", application, output }, stage))
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

/** The candidate that is known to be fastest, else the first, which should be the best guess. */
export function choose(
  { choices }: Target,
  key: string,
  candidates: readonly Dispatch[],
): Dispatch {
  if (candidates.length === 1) return candidates[0];
  const chosen = candidates.find(({ kernel }) => kernel === choices?.get(key)) ?? candidates[0];
  return { ...chosen, variants: { key, candidates } };
}

/** Workgroups for `count` invocations in workgroups of 64; the grid turns 2-D past 65535. */
export function workgroups(count: number): [number, number, number] {
  const groups = Math.ceil(count / 64);
  const x = Math.min(groups, 65535);
  return [x, Math.ceil(groups / x), 1];
}
