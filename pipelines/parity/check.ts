/** How a computed tensor is compared with its golden values. */

/** Result of comparing one tensor with its expected values. */
export interface TensorCheck {
  readonly tensor: string;
  readonly error: number;
  readonly bound: number;
  readonly ok: boolean;
}

/** Largest relative errors of a model in float32 against float64. */
export const BOUNDS = { exact: 0, output: 1e-5, loss: 1e-6, gradient: 5e-5 } as const;

/**
 * The same for video models, of which no file pins single modules: a wrong eps of a LayerNorm shows,
 * which changes E1 by 6.9e-6 and a gradient by 2.8e-5.
 */
export const VIDEO_BOUNDS: Bounds = { exact: 0, output: 5e-6, loss: 1e-6, gradient: 1e-5 };

type Bounds = Readonly<Record<keyof typeof BOUNDS, number>>;

/** The bound on one of a model's results, by its name in the file. */
export function boundOf(path: string, bounds: Bounds = BOUNDS): number {
  if (/(^|\.)grad(_in)?(\.|$)/.test(path)) return bounds.gradient;
  return path === "out.loss" ? bounds.loss : bounds.output;
}

/** Compares by {@linkcode relativeError}; what is not finite fails. */
export function compare(
  tensor: string,
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number,
): TensorCheck {
  return check(tensor, relativeError(actual, expected), bound);
}

/** An error that the caller measured, against a bound. */
export function check(tensor: string, error: number, bound: number): TensorCheck {
  return { tensor, error, bound, ok: error <= bound };
}

/** An expected tensor that nothing here computes must not pass unseen. */
export function unknown(tensor: string): TensorCheck {
  return { tensor, error: Infinity, bound: 0, ok: false };
}

/** ‖a − b‖₂ / ‖b‖₂; infinite where the lengths differ. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}
