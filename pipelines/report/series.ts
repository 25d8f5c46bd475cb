/** From a number a step to the few points that a chart can show. */

/** A point of a curve: of one step, or of several in a row. */
export interface Point {
  readonly step: number;
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** Points that a chart is wide enough for. */
const MOST = 800;

/**
 * Joins steps in a row to at most `most` points: means, with the lowest and the highest value.
 *
 * @param values One for each step; NaN where there is none.
 */
export function thin(
  steps: readonly number[],
  values: readonly number[],
  most = MOST,
): readonly Point[] {
  const known = [...values.keys()].filter((i) => Number.isFinite(values[i]));
  const count = Math.min(most, known.length);
  return Array.from({ length: count }, (_, bucket) => {
    const first = Math.floor(bucket * known.length / count);
    const end = Math.floor((bucket + 1) * known.length / count);
    let [step, value, low, high] = [0, 0, Infinity, -Infinity];
    for (let i = first; i < end; i++) {
      step += steps[known[i]] / (end - first);
      value += values[known[i]] / (end - first);
      low = Math.min(low, values[known[i]]);
      high = Math.max(high, values[known[i]]);
    }
    return { step, value, low, high };
  });
}

/** Points of a curve that a moving average takes together: an odd number, 1 for a short curve. */
export function spanOf(points: readonly Point[]): number {
  return 2 * Math.floor(points.length / 40) + 1;
}

/**
 * The centred moving average. At the start, where curves are steep, it takes as many points after
 * as there are before; at the end, which is what one looks at, all that there are.
 */
export function smooth(points: readonly Point[]): readonly Point[] {
  const half = (spanOf(points) - 1) / 2;
  return points.map((point, i) => {
    const first = i - Math.min(half, i);
    const end = Math.min(2 * i - first + 1, points.length);
    // Summed anew for each: running sums lose what comes after a value of 1e20.
    let sum = 0;
    for (let j = first; j < end; j++) sum += points[j].value;
    return { ...point, value: sum / (end - first) };
  });
}

/** Mean of the last finite values, at most `count`; NaN if there is none. */
export function lastMean(values: readonly number[], count: number): number {
  const last: number[] = [];
  for (let i = values.length - 1; i >= 0 && last.length < count; i--) {
    if (Number.isFinite(values[i])) last.push(values[i]);
  }
  return last.reduce((sum, value) => sum + value, 0) / last.length;
}
