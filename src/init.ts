/**
 * Initial values of parameters, as PyTorch and the published code draw them.
 *
 * @module
 */
import { fold, type Key, normal, uniform } from "./random.ts";
import { type Shape, sizeOf, type Tensor, tensor } from "./tensor.ts";

/** Gives every parameter a key of its own, in the order of the calls. */
export interface Initializer {
  /** U(−bound, bound). */
  uniform(shape: Shape, bound: number): Tensor;
  /** N(0, std). */
  normal(shape: Shape, std: number): Tensor;
}

export function initializer(key: Key): Initializer {
  let calls = 0;
  const next = () => fold(key, calls++);
  return {
    uniform: (shape, bound) =>
      tensor(uniform(next(), sizeOf(shape)).map((u) => (2 * u - 1) * bound), shape),
    normal: (shape, std) => tensor(normal(next(), sizeOf(shape)).map((z) => z * std), shape),
  };
}

export function constant(shape: Shape, value: number): Tensor {
  return tensor(new Float32Array(sizeOf(shape)).fill(value), shape);
}

/** Weight and bias of a linear layer or a convolution. */
export type Affine = {
  readonly weight: Tensor;
  readonly bias: Tensor;
};

/** LayerNorm: gain 1, bias 0. */
export function initNorm(width: number): Affine {
  return { weight: constant([width], 1), bias: constant([width], 0) };
}

/** Linear layer as MAE draws it: Xavier uniform, bias 0. */
export function initLinear(draw: Initializer, inputs: number, outputs: number): Affine {
  const bound = Math.sqrt(6 / (inputs + outputs));
  return { weight: draw.uniform([outputs, inputs], bound), bias: constant([outputs], 0) };
}

/** Convolution as PyTorch draws it: both from U(−1/√fan_in, 1/√fan_in). */
export function initConvolution(
  draw: Initializer,
  inputs: number,
  outputs: number,
  size: number,
): Affine {
  const bound = 1 / Math.sqrt(inputs * size * size);
  return {
    weight: draw.uniform([outputs, inputs, size, size], bound),
    bias: draw.uniform([outputs], bound),
  };
}

/** Patch projection as MAE draws it: Xavier over the flattened kernel; the bias as a convolution's. */
export function initProjection(
  draw: Initializer,
  inputs: number,
  outputs: number,
  size: number,
): Affine {
  const fanIn = inputs * size * size;
  return {
    weight: draw.uniform([outputs, inputs, size, size], Math.sqrt(6 / (fanIn + outputs))),
    bias: draw.uniform([outputs], 1 / Math.sqrt(fanIn)),
  };
}
