/**
 * A few of many boxes, drawn by a key.
 *
 * @module
 */
import { type Key, split, uniform } from "../random.ts";

/** How many are drawn, and which share of them should be things. */
export interface SampleRule {
  readonly count: number;
  readonly positive: number;
}

/** Rows drawn, in the order of the draw. */
export interface Sample {
  readonly positive: Uint32Array<ArrayBuffer>;
  readonly negative: Uint32Array<ArrayBuffer>;
}

/**
 * Draws things up to their share and fills up with background, as detectron2's `subsample_labels`.
 *
 * @param labels Of each box: −1 for none that may be drawn.
 * @param background The label of the background; all others are things.
 */
export function sampleLabels(
  labels: ArrayLike<number>,
  key: Key,
  { count, positive: share }: SampleRule,
  background = 0,
): Sample {
  const [things, rest]: [number[], number[]] = [[], []];
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] === background) rest.push(i);
    else if (labels[i] !== -1) things.push(i);
  }
  const [first, second] = split(key, 2);
  const positive = draw(first, things, Math.trunc(count * share));
  return { positive, negative: draw(second, rest, count - positive.length) };
}

/** Some of the items, at most all, without repetition: the beginning of a shuffle by Fisher and Yates. */
function draw(key: Key, items: readonly number[], most: number): Uint32Array<ArrayBuffer> {
  const count = Math.min(items.length, most);
  const units = uniform(key, 2 * count);
  const moved = new Map<number, number>();
  return Uint32Array.from({ length: count }, (_, i) => {
    const unit = units[2 * i] + units[2 * i + 1] / 2 ** 24; // 48 bits: no visible bias
    const j = i + Math.floor(unit * (items.length - i));
    const drawn = moved.get(j) ?? j;
    moved.set(j, moved.get(i) ?? i);
    return items[drawn];
  });
}
