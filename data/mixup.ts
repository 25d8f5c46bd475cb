/**
 * Mixup (arXiv:1710.09412) and CutMix (arXiv:1905.04899) of batches, as timm's `Mixup` does both:
 * sample i is mixed with sample N - 1 - i.
 *
 * A batch is mixed by {@linkcode drawMixes}, then {@linkcode mixImages} and
 * {@linkcode mixTargets}.
 */

import { type Key, split, uniform } from "../src/random.ts";
import type { Size } from "./augment.ts";
import { beta } from "./beta.ts";
import type { Box } from "./resize.ts";

/** How batches are mixed, by timm's names. */
export interface Mixup {
  /** Whether a whole batch, each pair of samples or each sample has its own draws. */
  readonly mode: "batch" | "pair" | "elem";
  /** Mixup's share is drawn from Beta(α, α); 0 leaves mixup out. */
  readonly mixupAlpha: number;
  /** CutMix's share is drawn from Beta(α, α); 0 leaves CutMix out. */
  readonly cutmixAlpha: number;
  /** Sides of CutMix's boxes as shares of the image's; then their areas, not α, give the shares. */
  readonly cutmixMinmax?: readonly [min: number, max: number];
  /** Probability of being mixed at all; 1 unless given. */
  readonly probability?: number;
  /** Probability of CutMix where there are both; 0.5 unless given. */
  readonly switchProbability?: number;
}

/** How one sample is mixed with its partner. */
export interface Mix {
  /** Share of the sample itself; with a box, the share of the area outside it. */
  readonly lambda: number;
  /** CutMix: the part that is the partner's. */
  readonly box?: Box;
}

/** Shape of a batch of images, or of clips. */
export type BatchShape =
  | readonly [n: number, height: number, width: number, channels: number]
  | readonly [n: number, frames: number, height: number, width: number, channels: number];

/**
 * Draws how each sample of a batch is mixed. An odd batch has a sample in its middle that is its
 * own partner and so stays; timm refuses it in every mode, this only in pairs.
 *
 * @param n Samples, N.
 * @returns N mixes; in pairs, those of i and N - 1 - i are equal.
 * @throws {RangeError} If nothing is to be mixed, a setting is out of its range, or N is odd in
 * pairs.
 */
export function drawMixes(key: Key, n: number, size: Size, settings: Mixup): Mix[] {
  checkSettings(settings);
  const { mode } = settings;
  if (mode === "pair" && n % 2 !== 0) throw new RangeError(`Cannot mix pairs: N is ${n}, not even`);
  const draw = (key: Key) => drawMix(key, size, settings);
  if (mode === "batch") return Array(n).fill(draw(key));
  const mixes = split(key, mode === "pair" ? n / 2 : n).map(draw);
  return mode === "pair" ? [...mixes, ...mixes.toReversed()] : mixes;
}

function drawMix(key: Key, size: Size, settings: Mixup): Mix {
  const { mixupAlpha, cutmixMinmax, probability = 1, switchProbability = 0.5 } = settings;
  const cutmixAlpha = cutmixMinmax ? 1 : settings.cutmixAlpha; // as timm forces it
  const [choiceKey, betaKey, boxKey] = split(key, 3);
  const [mixed, kind] = uniform(choiceKey, 2);
  if (mixed >= probability) return { lambda: 1 };
  const cut = cutmixAlpha > 0 && (mixupAlpha === 0 || kind < switchProbability);
  if (!cut) return { lambda: beta(betaKey, mixupAlpha) };
  const draws = uniform(boxKey, 4);
  const box = cutmixMinmax
    ? minmaxBox(size, cutmixMinmax, draws)
    : cutmixBox(size, beta(betaKey, cutmixAlpha), {
      x: Math.floor(draws[0] * size.width),
      y: Math.floor(draws[1] * size.height),
    });
  return { lambda: shareOutside(box, size), box };
}

/**
 * Box of CutMix: a share 1 - λ of the area around a centre, as far as it lies in the image.
 *
 * @param lambda Share λ to keep, before the image's edges cut the box.
 */
export function cutmixBox(
  { width, height }: Size,
  lambda: number,
  center: Pick<Box, "x" | "y">,
): Box {
  const ratio = Math.sqrt(1 - lambda);
  const [left, right] = span(width, Math.trunc(width * ratio), center.x);
  const [top, bottom] = span(height, Math.trunc(height * ratio), center.y);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** Begin and end of a cut around a centre, within 0 … length. */
function span(length: number, cut: number, center: number): [begin: number, end: number] {
  const half = Math.floor(cut / 2);
  return [Math.max(0, center - half), Math.min(length, center + half)];
}

/** A box inside the image, with each side drawn between two shares of the image's. */
function minmaxBox(
  { width, height }: Size,
  [min, max]: readonly [number, number],
  draws: ArrayLike<number>,
): Box {
  const side = (length: number, draw: number) => {
    const least = Math.trunc(length * min);
    return least + Math.floor(draw * Math.max(1, Math.trunc(length * max) - least));
  };
  const w = side(width, draws[0]);
  const h = side(height, draws[1]);
  const x = Math.floor(draws[2] * (width - w));
  const y = Math.floor(draws[3] * (height - h));
  return { x, y, width: w, height: h };
}

/** Share of an image's area outside a box: λ, corrected to the box that was really cut. */
export function shareOutside(box: Size, { width, height }: Size): number {
  return 1 - box.width * box.height / (width * height);
}

/**
 * Mixes normalised images, each with its partner; of clips all frames alike.
 *
 * @param images Images `[N, H, W, C]`, or clips `[N, T, H, W, C]`.
 * @param mixes One a sample.
 * @returns New images, as many: λ·x + (1 - λ)·partner, or x with the partner's box.
 * @throws {RangeError} If there are not N images or mixes.
 */
export function mixImages(
  images: Float32Array,
  shape: BatchShape,
  mixes: readonly Mix[],
): Float32Array<ArrayBuffer> {
  const [n] = shape;
  const [height, width, channels] = shape.slice(-3);
  const frames = shape.length === 5 ? shape[1] : 1;
  const size = frames * height * width * channels;
  if (images.length !== n * size || mixes.length !== n) {
    throw new RangeError(
      `Cannot mix [${shape}]: ` +
        `found ${images.length} values and ${mixes.length} mixes`,
    );
  }
  const result = images.slice();
  mixes.forEach(({ lambda, box }, sample) => {
    const own = sample * size;
    const other = (n - 1 - sample) * size;
    if (box) {
      for (let row = 0; row < frames * box.height; row++) {
        const [t, y] = [Math.floor(row / box.height), box.y + row % box.height];
        const begin = ((t * height + y) * width + box.x) * channels;
        const pixels = images.subarray(other + begin, other + begin + box.width * channels);
        result.set(pixels, own + begin);
      }
    } else if (lambda !== 1 && own !== other) {
      for (let i = 0; i < size; i++) {
        result[own + i] = lambda * images[own + i] + (1 - lambda) * images[other + i];
      }
    }
  });
  return result;
}

/**
 * Targets of mixed images: λ of a sample's own smoothed label and 1 - λ of its partner's.
 *
 * @param labels Labels `[N]`.
 * @param mixes One a sample.
 * @returns Targets `[N, K]`; each row sums to 1.
 * @throws {RangeError} As {@linkcode softTargets}, or if there are not N mixes.
 */
export function mixTargets(
  labels: Int32Array,
  classes: number,
  smoothing: number,
  mixes: readonly Mix[],
): Float32Array<ArrayBuffer> {
  const n = labels.length;
  if (mixes.length !== n) {
    throw new RangeError(`Cannot mix targets: found ${n} labels and ${mixes.length} mixes`);
  }
  const targets = softTargets(labels, classes, smoothing);
  return targets.map((own, i) => {
    const sample = Math.floor(i / classes);
    const { lambda } = mixes[sample];
    return lambda * own + (1 - lambda) * targets[(n - 1 - sample) * classes + i % classes];
  });
}

/**
 * Smoothed labels (arXiv:1512.00567): smoothing / K for each of K classes, and what is left for the
 * label's.
 *
 * @param labels Labels `[N]`.
 * @param classes K.
 * @param smoothing In 0–1; 0 gives one-hot rows.
 * @returns Targets `[N, K]`; each row sums to 1.
 * @throws {RangeError} If a label is none of the classes, or `smoothing` is out of its range.
 */
export function softTargets(
  labels: Int32Array,
  classes: number,
  smoothing: number,
): Float32Array<ArrayBuffer> {
  if (!(smoothing >= 0 && smoothing <= 1)) {
    throw new RangeError(`Cannot smooth labels: smoothing is ${smoothing}, not in 0–1`);
  }
  const off = smoothing / classes;
  const targets = new Float32Array(labels.length * classes).fill(off);
  labels.forEach((label, sample) => {
    if (!(label >= 0 && label < classes)) {
      throw new RangeError(`Cannot smooth labels: label ${label} is none of ${classes} classes`);
    }
    targets[sample * classes + label] = 1 - smoothing + off;
  });
  return targets;
}

function checkSettings(settings: Mixup): void {
  const { mixupAlpha, cutmixAlpha, cutmixMinmax, probability = 1, switchProbability = 0.5 } =
    settings;
  for (const [name, alpha] of Object.entries({ mixupAlpha, cutmixAlpha })) {
    if (!(alpha >= 0 && alpha < Infinity)) {
      throw new RangeError(`Cannot mix: ${name} is ${alpha}, not 0 or more`);
    }
  }
  if (mixupAlpha === 0 && cutmixAlpha === 0 && !cutmixMinmax) {
    throw new RangeError("Cannot mix: mixupAlpha and cutmixAlpha are both 0");
  }
  for (const [name, share] of Object.entries({ probability, switchProbability })) {
    if (!(share >= 0 && share <= 1)) {
      throw new RangeError(`Cannot mix: ${name} is ${share}, not in 0–1`);
    }
  }
  const [min, max] = cutmixMinmax ?? [0, 1];
  if (!(min >= 0 && min <= max && max <= 1)) {
    throw new RangeError(`Cannot mix: cutmixMinmax is [${min}, ${max}], not a range in 0–1`);
  }
}
