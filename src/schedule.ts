/** Learning rate as a function of the (fractional) epoch, in float64. */

/** Settings of {@linkcode warmupCosine}; rates are absolute, times are epochs. */
export interface WarmupCosine {
  readonly lr: number;
  readonly minLr: number;
  readonly warmupEpochs: number;
  readonly epochs: number;
}

/**
 * Linear warm-up from zero, then half a cosine down to `minLr`, as MAE's `lr_sched.py`.
 *
 * MAE evaluates it once an update, at epoch = step / (steps an epoch), so the very first update
 * has rate zero when there is a warm-up.
 *
 * @param epoch Fractional epoch, from 0 to `epochs`.
 * @returns The rate; a parameter group multiplies it by its own scale.
 */
export function warmupCosine(
  { lr, minLr, warmupEpochs, epochs }: WarmupCosine,
  epoch: number,
): number {
  if (epoch < warmupEpochs) return lr * epoch / warmupEpochs;
  const progress = (epoch - warmupEpochs) / (epochs - warmupEpochs);
  return minLr + (lr - minLr) * 0.5 * (1 + Math.cos(Math.PI * progress));
}

/** Settings of {@linkcode warmupCosineSteps}; rates are absolute, times are updates. */
export interface WarmupCosineSteps {
  readonly lr: number;
  readonly minLr: number;
  /** Rate of the first update. */
  readonly startLr: number;
  readonly warmupSteps: number;
  readonly steps: number;
}

/**
 * VideoMAE's schedule (`cosine_scheduler` of its `utils.py`): the warm-up's last update already has
 * the full rate, and the first after it has it too.
 *
 * @param step Update, from 0 to `steps` − 1.
 */
export function warmupCosineSteps(
  { lr, minLr, startLr, warmupSteps, steps }: WarmupCosineSteps,
  step: number,
): number {
  if (step < warmupSteps) return startLr + (lr - startLr) * step / Math.max(1, warmupSteps - 1);
  return warmupCosine({ lr, minLr, warmupEpochs: warmupSteps, epochs: steps }, step);
}

/** Settings of {@linkcode warmupPoly}; rates are absolute, times are updates. */
export interface WarmupPoly {
  readonly lr: number;
  readonly minLr: number;
  readonly power: number;
  readonly warmupSteps: number;
  readonly steps: number;
}

/**
 * Polynomial decay with linear warm-up, by update, as mmsegmentation's `poly` policy: the warm-up is a
 * factor on the decayed rate, which begins at 1e-6.
 *
 * @param step Update, from 0 to `steps` − 1.
 */
export function warmupPoly(
  { lr, minLr, power, warmupSteps, steps }: WarmupPoly,
  step: number,
): number {
  const decayed = (lr - minLr) * (1 - Math.min(1, step / steps)) ** power + minLr;
  if (step >= warmupSteps) return decayed;
  return decayed * (1 - (1 - step / warmupSteps) * (1 - 1e-6));
}

/**
 * Linear scaling rule (arXiv:1706.02677): the rate for a batch, from the rate for 256 images.
 *
 * @param blr Rate at an effective batch of 256.
 * @param effectiveBatch Images an update: micro-batch × accumulation × devices.
 */
export function scaledRate(blr: number, effectiveBatch: number): number {
  return blr * effectiveBatch / 256;
}

/** Settings of {@linkcode cosineWithWarmup}; rates are absolute, times are updates. */
export interface CosineWithWarmup {
  readonly lr: number;
  readonly minLr: number;
  readonly warmupSteps: number;
  readonly steps: number;
}

/**
 * A cosine over all updates whose beginning is replaced by a linear warm-up from a thousandth of the
 * rate, as detectron2's `WarmupParamScheduler` over fvcore's `CosineParamScheduler`.
 *
 * @param step Update, from 0 to `steps` − 1.
 */
export function cosineWithWarmup(
  { lr, minLr, warmupSteps, steps }: CosineWithWarmup,
  step: number,
): number {
  const decayed = (step: number) =>
    minLr + (lr - minLr) * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, step / steps)));
  if (step >= warmupSteps) return decayed(step);
  const [first, last] = [1e-3 * lr, decayed(warmupSteps)];
  return first + (last - first) * step / warmupSteps;
}
