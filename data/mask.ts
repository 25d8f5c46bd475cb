import { type Key, uniform } from "../src/random.ts";

/** Which tokens of N samples are visible; V of L each. */
export interface Mask {
  /** Visible tokens `[N, V]`, in shuffled order, as the encoder sees them. */
  readonly keep: Uint32Array<ArrayBuffer>;
  /** Place of every token in the shuffled order `[N, L]`; below V it is visible. */
  readonly restore: Uint32Array<ArrayBuffer>;
  /** 1 where a token is removed `[N, L]`. */
  readonly removed: Float32Array<ArrayBuffer>;
  /** V. */
  readonly visible: number;
}

/**
 * Masks tokens as MAE does (arXiv:2111.06377): each sample keeps the tokens of least noise.
 *
 * @param noise Noise `[N, L]`; equal values keep the token with the lower index first.
 * @param n Samples, N.
 * @param length Tokens a sample, L.
 * @param ratio Share of tokens to remove; floor(L · (1 - ratio)) stay.
 * @throws {RangeError} If no token stays or none is removed, or if `noise` is not `[N, L]`.
 */
export function maskFromNoise(
  noise: Float32Array,
  n: number,
  length: number,
  ratio: number,
): Mask {
  if (noise.length !== n * length) {
    throw new RangeError(`Cannot mask: noise has ${noise.length} values, not ${n} × ${length}`);
  }
  const visible = countVisible(length, ratio);
  const keep = new Uint32Array(n * visible);
  const restore = new Uint32Array(n * length);
  const removed = new Float32Array(n * length);
  for (let sample = 0; sample < n; sample++) {
    const row = sample * length;
    const shuffled = Uint32Array.from({ length }, (_, token) => token)
      .sort((a, b) => noise[row + a] - noise[row + b] || a - b);
    keep.set(shuffled.subarray(0, visible), sample * visible);
    shuffled.forEach((token, place) => {
      restore[row + token] = place;
      removed[row + token] = place < visible ? 0 : 1;
    });
  }
  return { keep, restore, removed, visible };
}

/**
 * Masks tokens by uniform noise, one key a sample.
 *
 * @throws {RangeError} If no token stays or none is removed.
 */
export function randomMask(keys: readonly Key[], length: number, ratio: number): Mask {
  const noise = new Float32Array(keys.length * length);
  keys.forEach((key, sample) => noise.set(uniform(key, length), sample * length));
  return maskFromNoise(noise, keys.length, length, ratio);
}

/**
 * Counts the tokens that stay of `length`: floor(L · (1 - ratio)), in double precision as Python.
 *
 * @throws {RangeError} If that is none or all of them.
 */
export function countVisible(length: number, ratio: number): number {
  const visible = Math.floor(length * (1 - ratio));
  if (!(visible >= 1 && visible < length)) {
    throw new RangeError(
      `Cannot mask: ratio ${ratio} leaves ${visible} of ${length} tokens visible`,
    );
  }
  return visible;
}
