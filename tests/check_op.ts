/**
 * Holds an op against a plain float64 loop: its values, and its gradient by finite differences.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Device, openDevice } from "../src/device.ts";
import { grad } from "../src/grad.ts";
import { mul } from "../src/ops/map.ts";
import { sum } from "../src/ops/reduce.ts";
import { compile } from "../src/plan/plan.ts";
import { readAll } from "../src/plan/read.ts";
import { fold, key, normal, permutation } from "../src/random.ts";
import { type Shape, sizeOf, stridesOf, type Tensor, tensor } from "../src/tensor.ts";

/** An array in float64. */
export interface Values {
  readonly data: Float64Array;
  readonly shape: Shape;
}

/** An input: the shape of random values, or indices, which have no gradient. */
export type Input = Shape | { readonly indices: readonly number[]; readonly shape: Shape };

export interface CheckOptions {
  /** Relative L2 error of the values. */
  readonly forward?: number;
  /** Relative L2 error of the gradients; null skips them. */
  readonly gradient?: number | null;
  /** Positions of each input where the gradient is checked. */
  readonly positions?: number;
  /** Step of the finite differences; their error is of order step², and of 1e-16 / step. */
  readonly step?: number;
  /** Makes an input's value of a standard normal one. */
  readonly draw?: (z: number, input: number) => number;
  readonly device?: Device;
}

let opened: Promise<Device> | undefined;

/** The adapter, opened once for all tests of a file. */
export function sharedDevice(): Promise<Device> {
  return opened ??= openDevice();
}

/**
 * The adapter as if it were a GPU, with the same pipelines, so that kernels which only GPUs choose are
 * tested on any adapter.
 */
export async function gpuLike(): Promise<Device> {
  const target = { cpu: false, broadcast: false };
  return { ...await sharedDevice(), target, calibration: undefined };
}

/** The adapter as if it had no broadcasts. */
export async function withoutBroadcast(): Promise<Device> {
  return { ...await sharedDevice(), target: { cpu: true, broadcast: false } };
}

/** Compares an op's values and gradients with a reference's. */
export async function checkOp(
  op: (...inputs: Tensor[]) => Tensor,
  reference: (...inputs: Values[]) => Values,
  inputs: readonly Input[],
  {
    forward = 1e-6,
    gradient = 1e-5,
    positions = 24,
    step = 1e-4,
    draw = (z) => z,
    device,
  }: CheckOptions = {},
): Promise<void> {
  device ??= await sharedDevice();
  const values = inputs.map((input, i) =>
    "indices" in input ? indices(input) : random(input, i, draw)
  );
  const expected = reference(...values);
  const cotangent = random(expected.shape, inputs.length, (z) => z);
  const tensors = values.map((value, i) => toTensor(value, "indices" in inputs[i]));
  const plan = await compile(device, (args: { inputs: Tensor[]; cotangent: Tensor }) => {
    const y = op(...args.inputs);
    assert.deepEqual([...y.shape], [...expected.shape], "shape");
    const wrt = args.inputs.filter((_, i) => gradient !== null && !("indices" in inputs[i]));
    return [y, ...grad(sum(mul(y, args.cotangent)), wrt)];
  }, { inputs: tensors, cotangent: toTensor(cotangent, false) });
  const [y, ...grads] = await readAll(
    device,
    plan.run({ inputs: tensors, cotangent: toTensor(cotangent, false) }),
  );
  plan.destroy();
  close(y, expected.data, forward, "values");
  for (const [i, input] of inputs.entries()) {
    if ("indices" in input || gradient === null) continue;
    const at = permutation(key(i), sizeOf(input)).subarray(0, positions);
    const slopes = differences(reference, values, i, at, cotangent, step);
    const found = grads.shift()!;
    assert.equal(found.length, sizeOf(input), `size of the gradient of input ${i}`);
    close(Float64Array.from(at, (p) => found[p]), slopes, gradient, `gradient of input ${i}`);
  }
}

/** Asserts ‖found − expected‖ ≤ bound · ‖expected‖. */
export function close(
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number,
  what = "values",
): void {
  assert.equal(found.length, expected.length, `${what}: number of values`);
  let [error, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    error += (found[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  const relative = error === 0 ? 0 : Math.sqrt(error / norm);
  assert.ok(relative <= bound, `${what}: relative error ${relative}, not within ${bound}`);
}

/** d Σ y · cotangent / d input at positions, by central differences. */
function differences(
  reference: (...inputs: Values[]) => Values,
  values: readonly Values[],
  input: number,
  positions: ArrayLike<number>,
  cotangent: Values,
  step: number,
): Float64Array {
  const loss = (moved: Float64Array) => {
    const { data } = reference(...values.with(input, { ...values[input], data: moved }));
    return data.reduce((total, y, i) => total + y * cotangent.data[i], 0);
  };
  return Float64Array.from(positions, (position) => {
    const at = (offset: number) => {
      const moved = values[input].data.slice();
      moved[position] += offset;
      return loss(moved);
    };
    return (at(step) - at(-step)) / (2 * step);
  });
}

/** Random values that f32 holds exactly. */
export function random(shape: Shape, seed: number, draw: CheckOptions["draw"] = (z) => z): Values {
  const data = Float64Array.from(
    normal(fold(key(20220508), seed), sizeOf(shape)),
    (z) => Math.fround(draw(z, seed)),
  );
  return { data, shape };
}

function indices({ indices, shape }: { indices: readonly number[]; shape: Shape }): Values {
  return { data: Float64Array.from(indices), shape };
}

export function toTensor({ data, shape }: Values, u32 = false): Tensor {
  return tensor(u32 ? Uint32Array.from(data) : Float32Array.from(data), shape);
}

/** The plain loop of an elementwise function with NumPy's broadcasting. */
export function elementwiseReference(
  fn: (...values: number[]) => number,
  result?: Shape,
): (...inputs: Values[]) => Values {
  return (...inputs) => {
    const rank = Math.max(result?.length ?? 0, ...inputs.map(({ shape }) => shape.length));
    const padded = inputs.map(({ shape }) => [...Array(rank - shape.length).fill(1), ...shape]);
    const shape = result ??
      Array.from({ length: rank }, (_, axis) => Math.max(...padded.map((p) => p[axis])));
    const strides = padded.map((p) =>
      stridesOf(p).map((stride, axis) => p[axis] === 1 ? 0 : stride)
    );
    const data = new Float64Array(sizeOf(shape));
    const own = stridesOf(shape);
    for (let i = 0; i < data.length; i++) {
      const at = (stride: number[]) =>
        shape.reduce((sum, size, axis) => sum + Math.floor(i / own[axis]) % size * stride[axis], 0);
      data[i] = fn(...inputs.map(({ data }, input) => data[at(strides[input])]));
    }
    return { data, shape };
  };
}

/** An array of a shape from a function of its indices. */
export function fill(shape: Shape, fn: (...index: number[]) => number): Values {
  const index = Array<number>(shape.length).fill(0);
  const data = new Float64Array(sizeOf(shape));
  for (let i = 0; i < data.length; i++) {
    data[i] = fn(...index);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) {
      index[axis] = 0;
    }
  }
  return { data, shape };
}

/** Reads an array at indices. */
export function at({ data, shape }: Values, ...index: number[]): number {
  return data[index.reduce((place, i, axis) => place * shape[axis] + i, 0)];
}

/** Asserts that two arrays hold the same bits, NaN included. */
export function sameBits(found: ArrayBufferView, expected: ArrayBufferView, what = "bits"): void {
  const bits = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
    new Uint32Array(buffer, byteOffset, byteLength / 4);
  const [a, b] = [bits(found), bits(expected)];
  assert.equal(a.length, b.length, what);
  const at = a.findIndex((word, i) => word !== b[i]);
  assert.equal(at, -1, `${what} differ at ${at}`);
}
