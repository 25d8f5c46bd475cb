/**
 * Tensors: immutable nodes of a computation graph, and the arithmetic of their shapes.
 *
 * @module
 */

/** Element types. Both take four bytes. */
export type DType = "f32" | "u32";
export type Shape = readonly number[];
export type HostArray = Float32Array | Uint32Array;

/** What is known of a value before it is computed. */
export interface Aval {
  readonly shape: Shape;
  readonly dtype: DType;
  /** Whether it lies in memory in half precision. */
  readonly half?: boolean;
}

/** One use of an op. Its results are the tensors that name it as their source. */
export interface Application {
  readonly op: import("./op.ts").Op;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

/** Where a tensor's values come from. */
export type Source =
  | { readonly kind: "host"; readonly data: HostArray }
  | { readonly kind: "device"; readonly buffer: GPUBuffer }
  | { readonly kind: "argument"; readonly index: number } // a hole in a traced function
  | { readonly kind: "result"; readonly application: Application; readonly output: number };

/** One immutable node of a computation graph. */
export interface Tensor extends Aval {
  readonly id: number; // creation order is execution order
  readonly source: Source;
  readonly stage?: string; // label, for timings and errors
}

let nextId = 0;

/** Makes a node. User code makes tensors with `tensor`, `zeros` or an op. */
export function node(aval: Aval, source: Source, stage?: string): Tensor {
  return { id: nextId++, shape: aval.shape, dtype: aval.dtype, source, stage };
}

/** The id of the next node; all nodes so far have smaller ones. */
export function upcomingId(): number {
  return nextId;
}

/**
 * A tensor of values that lie in host memory; they are not copied.
 *
 * @param data Values in row-major order; a `Uint32Array` gives a tensor of indices.
 * @param shape Sizes of the axes; one axis as long as the data if left out.
 * @throws {RangeError} If the shape does not hold as many values as there are.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { tensor } from "@mcmae/mcmae";
 *
 * const x = tensor(new Float32Array([1, 2, 3, 4]), [2, 2]);
 * assert.deepEqual([x.shape, x.dtype], [[2, 2], "f32"]);
 * ```
 */
export function tensor(data: HostArray | readonly number[], shape?: Shape): Tensor {
  const values = data instanceof Float32Array || data instanceof Uint32Array
    ? data
    : new Float32Array(data);
  const aval: Aval = {
    shape: shape ?? [values.length],
    dtype: values instanceof Uint32Array ? "u32" : "f32",
  };
  if (sizeOf(aval.shape) !== values.length) {
    throw new RangeError(
      `Cannot shape ${values.length} values as [${aval.shape}], which holds ${sizeOf(aval.shape)}`,
    );
  }
  return node(aval, { kind: "host", data: values });
}

/** A single f32 value, shape []. */
export function scalar(value: number): Tensor {
  return tensor(new Float32Array([value]), []);
}

/** A host tensor of zeros. */
export function zeros(shape: Shape, dtype: DType = "f32"): Tensor {
  const size = sizeOf(shape);
  return tensor(dtype === "f32" ? new Float32Array(size) : new Uint32Array(size), shape);
}

/** Number of values in a shape. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of a value. */
export function bytesOf(aval: Aval): number {
  return (aval.half ? 2 : 4) * sizeOf(aval.shape);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

/**
 * The shape that several shapes broadcast to, by NumPy's rule.
 *
 * @throws {RangeError} If two sizes of one axis differ and neither is 1.
 */
export function broadcastShape(...shapes: Shape[]): Shape {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1);
    const size = sizes.find((size) => size !== 1) ?? 1;
    if (sizes.some((other) => other !== 1 && other !== size)) {
      throw new RangeError(`Cannot broadcast shapes ${shapes.map((s) => `[${s}]`).join(" and ")}`);
    }
    return size;
  });
}

/** Distance in elements between neighbours of each axis, row-major. */
export function stridesOf(shape: Shape): number[] {
  const strides = Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) {
    strides[axis] = strides[axis + 1] * shape[axis + 1];
  }
  return strides;
}
