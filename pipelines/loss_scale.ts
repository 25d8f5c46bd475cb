/**
 * Dynamic loss scaling (arXiv:1710.03740), on the device: gradients of activations in half precision
 * would vanish, so the loss is multiplied by as much as they bear.
 *
 * @module
 */
import { add, div, maximum, mul, sub, where } from "../src/ops/map.ts";
import { scalar, type Tensor } from "../src/tensor.ts";

/** State of the scaling. */
export type Scaler = {
  /** Factor on the loss. */
  readonly scale: Tensor;
  /** Steps since it last changed. */
  readonly steady: Tensor;
};

const FIRST = 2 ** 16;
/** Steps without overflow after which the factor doubles. */
const PATIENCE = 2000;

/** The scaler before the first step, in host memory. */
export function initialScaler(): Scaler {
  return { scale: scalar(FIRST), steady: scalar(0) };
}

/** What follows a step: half the factor where its gradients were not finite, twice after many that were. */
export function nextScaler({ scale, steady }: Scaler, isFine: Tensor): Scaler {
  const count = add(steady, 1);
  const isDue = maximum(sub(count, PATIENCE - 1), 0); // count is a whole number: 0 or 1
  return {
    scale: where(isFine, where(isDue, mul(scale, 2), scale), maximum(div(scale, 2), 1)),
    steady: where(isFine, where(isDue, 0, count), 0),
  };
}

/** 1 where a step that is not fine is no fault, since a smaller factor may mend it. */
export function canShrink({ scale }: Scaler): Tensor {
  return where(maximum(sub(scale, 1), 0), 1, 0);
}
