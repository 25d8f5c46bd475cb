/**
 * Interpolation and pooling along one axis, as lists of values that make each new one. PyTorch's rules
 * with `align_corners=False`, without antialias.
 *
 * @module
 */

/** A value and how much of it. */
export type Tap = readonly [index: number, weight: number];

/** Taps of each new value. */
export type Taps = readonly (readonly Tap[])[];

/** Linear interpolation of `size` values to `newSize`. */
export function linearTaps(size: number, newSize: number): Taps {
  return Array.from({ length: newSize }, (_, i) => {
    const place = Math.max((i + 0.5) * size / newSize - 0.5, 0);
    const first = Math.floor(place);
    return within([[first, 1 - place + first], [first + 1, place - first]], size);
  });
}

/** Cubic interpolation (a = −0.75) of `size` values to `newSize`. */
export function cubicTaps(size: number, newSize: number): Taps {
  const a = -0.75; // PyTorch's; Pillow has −0.5
  const near = (t: number) => ((a + 2) * t - (a + 3)) * t * t + 1; // t ≤ 1
  const far = (t: number) => ((a * t - 5 * a) * t + 8 * a) * t - 4 * a; // 1 < t ≤ 2
  return Array.from({ length: newSize }, (_, i) => {
    const place = (i + 0.5) * size / newSize - 0.5;
    const first = Math.floor(place);
    const t = place - first;
    const weights = [far(t + 1), near(t), near(1 - t), far(2 - t)];
    return within(weights.map((weight, k): Tap => [first - 1 + k, weight]), size);
  });
}

/** Means over `bins` parts of `size` values, which overlap where they are no equal ones. */
export function poolTaps(size: number, bins: number): Taps {
  return Array.from({ length: bins }, (_, i) => {
    const start = Math.floor(i * size / bins);
    const count = Math.ceil((i + 1) * size / bins) - start;
    return Array.from({ length: count }, (_, k): Tap => [start + k, 1 / count]);
  });
}

/** For each of `size` values the new ones that it is in: the taps of the gradient. */
export function transposed(taps: Taps, size: number): Taps {
  const result: Tap[][] = Array.from({ length: size }, () => []);
  taps.forEach((row, i) => row.forEach(([index, weight]) => result[index].push([i, weight])));
  return result;
}

/** Beyond the border its value goes on. */
function within(taps: readonly Tap[], size: number): Tap[] {
  const sums = new Map<number, number>();
  for (const [index, weight] of taps) {
    const inside = Math.min(Math.max(index, 0), size - 1);
    sums.set(inside, (sums.get(inside) ?? 0) + weight);
  }
  return [...sums].filter(([, weight]) => weight !== 0);
}
