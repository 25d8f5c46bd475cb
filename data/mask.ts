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
  return leastNoise(noise, n, length, countVisible(length, ratio));
}

/** Keeps the tokens of least noise `[N, L]`, so many of each sample. */
function leastNoise(noise: Float32Array, n: number, length: number, visible: number): Mask {
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
  return maskFromNoise(noiseOf(keys, length), keys.length, length, ratio);
}

/** Uniform noise `[N, length]`, one key a sample. */
function noiseOf(keys: readonly Key[], length: number): Float32Array {
  const noise = new Float32Array(keys.length * length);
  keys.forEach((key, sample) => noise.set(uniform(key, length), sample * length));
  return noise;
}

/** Tokens of a clip: S time slots of so many cells each. L = S · cells, token t · cells + cell. */
export interface ClipTokens {
  readonly slots: number;
  readonly cells: number;
}

/**
 * Masks tubes as VideoMAE does (arXiv:2203.12602): the same cells in every time slot.
 *
 * @param noise Noise `[N, cells]`; the cells of least noise stay.
 * @param n Samples, N.
 * @param ratio Share of cells to remove; floor(ratio · cells) are removed in each slot, which is not
 *   MAE's rounding.
 * @returns A mask of all tokens, S · kept of them visible: slot by slot, each in shuffled order.
 * @throws {RangeError} If no cell stays or none is removed, or if `noise` is not `[N, cells]`.
 */
export function tubeMaskFromNoise(
  noise: Float32Array,
  n: number,
  { slots, cells }: ClipTokens,
  ratio: number,
): Mask {
  if (noise.length !== n * cells) {
    throw new RangeError(`Cannot mask: noise has ${noise.length} values, not ${n} × ${cells}`);
  }
  const tube = leastNoise(noise, n, cells, cells - countRemoved(cells, ratio));
  const kept = tube.visible;
  const visible = slots * kept;
  const keep = new Uint32Array(n * visible);
  const restore = new Uint32Array(n * slots * cells);
  const removed = new Float32Array(n * slots * cells);
  for (let sample = 0; sample < n; sample++) {
    for (let slot = 0; slot < slots; slot++) {
      const at = sample * slots + slot;
      for (let i = 0; i < kept; i++) {
        keep[at * kept + i] = slot * cells + tube.keep[sample * kept + i];
      }
      for (let cell = 0; cell < cells; cell++) {
        const place = tube.restore[sample * cells + cell];
        // Visible tokens come first, removed ones after those of all slots.
        restore[at * cells + cell] = place < kept
          ? slot * kept + place
          : visible + slot * (cells - kept) + place - kept;
        removed[at * cells + cell] = place < kept ? 0 : 1;
      }
    }
  }
  return { keep, restore, removed, visible };
}

/**
 * Masks tubes by uniform noise, one key a sample; see {@linkcode tubeMaskFromNoise}.
 *
 * @throws {RangeError} If no cell stays or none is removed.
 */
export function tubeMask(keys: readonly Key[], tokens: ClipTokens, ratio: number): Mask {
  return tubeMaskFromNoise(noiseOf(keys, tokens.cells), keys.length, tokens, ratio);
}

/**
 * Masks tokens over space and time by uniform noise, one key a sample; floor(ratio · L) of each clip
 * are removed, wherever they are.
 *
 * @throws {RangeError} If no token stays or none is removed.
 */
export function spaceTimeMask(
  keys: readonly Key[],
  { slots, cells }: ClipTokens,
  ratio: number,
): Mask {
  const length = slots * cells;
  const visible = length - countRemoved(length, ratio);
  return leastNoise(noiseOf(keys, length), keys.length, length, visible);
}

/**
 * Counts the tokens that stay of `length`: floor(L · (1 - ratio)), in double precision as Python.
 *
 * @throws {RangeError} If that is none or all of them.
 */
export function countVisible(length: number, ratio: number): number {
  return checkVisible(Math.floor(length * (1 - ratio)), length, ratio);
}

/** Counts the tokens that are removed of `length`, as VideoMAE does: floor(ratio · L). */
function countRemoved(length: number, ratio: number): number {
  const removed = Math.floor(ratio * length);
  checkVisible(length - removed, length, ratio);
  return removed;
}

function checkVisible(visible: number, length: number, ratio: number): number {
  if (!(visible >= 1 && visible < length)) {
    throw new RangeError(
      `Cannot mask: ratio ${ratio} leaves ${visible} of ${length} tokens visible`,
    );
  }
  return visible;
}
