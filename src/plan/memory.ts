/**
 * Buffers for the values of a plan: a value lives from its step to its last use, and shares a slot
 * with others that live at other times. Pure; knows nothing of WebGPU.
 *
 * A slot is a whole buffer, since WebGPU lets no kernel write to a buffer that it also reads from.
 *
 * @module
 */

/** A value that needs memory. */
export interface Lifetime {
  readonly bytes: number;
  /** Step that writes it, and last step that reads it. */
  readonly first: number;
  readonly last: number;
  /** Values read at `first` whose place it may take if they die there. */
  readonly over?: readonly number[];
}

export interface Assignment {
  /** Slot of each value. */
  readonly slotOf: readonly number[];
  /** Bytes of each slot, the largest first. */
  readonly slots: readonly number[];
  /** Which value took the place of which. */
  readonly inPlace: ReadonlyMap<number, number>;
}

/** Values that overwrite each other, as one. */
interface Span {
  readonly values: number[];
  readonly bytes: number;
  readonly first: number;
  last: number;
}

/**
 * Assigns slots; no two values that live at the same step share one, except a value and the one
 * that it overwrites.
 *
 * The largest values come first, and each takes the smallest slot that is free for as long as it lives
 * (greedy by size, arXiv:2001.03288), so that every slot is as large as its first value.
 *
 * @param lifetimes In any order; `over` names positions in this list.
 */
export function assignSlots(lifetimes: readonly Lifetime[]): Assignment {
  const { spans, inPlace } = spansOf(lifetimes);
  const slots: { readonly bytes: number; readonly spans: Span[] }[] = [];
  const slotOf = Array<number>(lifetimes.length).fill(-1);
  spans.sort((a, b) => b.bytes - a.bytes || a.first - b.first);
  for (const span of spans) {
    const isFree = ({ spans }: typeof slots[number]) =>
      spans.every((other) => other.last < span.first || span.last < other.first);
    let slot = slots.findLastIndex(isFree); // slots come to be from the largest to the smallest
    if (slot < 0) slot = slots.push({ bytes: span.bytes, spans: [] }) - 1;
    slots[slot].spans.push(span);
    for (const value of span.values) slotOf[value] = slot;
  }
  return { slotOf, slots: slots.map(({ bytes }) => bytes), inPlace };
}

/** Lets values overwrite what dies where they are made, if it is as large. */
function spansOf(
  lifetimes: readonly Lifetime[],
): { spans: Span[]; inPlace: Map<number, number> } {
  const inPlace = new Map<number, number>();
  const spanOf = new Map<number, Span>(); // of values that nothing has overwritten yet
  const spans: Span[] = [];
  const order = lifetimes.keys().toArray().sort((a, b) =>
    lifetimes[a].first - lifetimes[b].first || lifetimes[b].bytes - lifetimes[a].bytes
  );
  for (const i of order) {
    const { bytes, first, last, over = [] } = lifetimes[i];
    const victim = over.find((j) =>
      lifetimes[j].last === first && lifetimes[j].bytes === bytes && spanOf.has(j)
    );
    const span = victim === undefined ? { values: [], bytes, first, last } : spanOf.get(victim)!;
    if (victim === undefined) spans.push(span);
    else {
      inPlace.set(i, victim);
      spanOf.delete(victim);
    }
    span.values.push(i);
    span.last = last;
    spanOf.set(i, span);
  }
  return { spans, inPlace };
}

/**
 * Bytes of the values that live at each step; a value in the place of another is counted once.
 *
 * @param steps Number of steps.
 */
export function liveBytes(
  lifetimes: readonly Lifetime[],
  inPlace: ReadonlyMap<number, number>,
  steps: number,
): number[] {
  const change = Array<number>(steps + 1).fill(0);
  lifetimes.forEach(({ bytes, first, last }, i) => {
    change[inPlace.has(i) ? first + 1 : first] += bytes;
    change[last + 1] -= bytes;
  });
  let live = 0;
  return change.slice(0, steps).map((bytes) => live += bytes);
}

/**
 * Finds a buffer for each slot in a pool, the largest slot first; adds those that the pool lacks.
 *
 * @param pool Bytes of its buffers; new ones are added at its end.
 * @returns For each slot, the place of its buffer in the pool.
 */
export function takeFrom(pool: number[], slots: readonly number[]): number[] {
  const free = new Set(pool.keys());
  const taken: number[] = [];
  const order = slots.keys().toArray().sort((a, b) => slots[b] - slots[a]);
  for (const slot of order) {
    let best = -1;
    for (const buffer of free) {
      const fits = pool[buffer] >= slots[slot] && pool[buffer] < 2 * slots[slot] + 4096;
      if (fits && (best < 0 || pool[buffer] < pool[best])) best = buffer;
    }
    if (best < 0) best = pool.push(slots[slot]) - 1;
    free.delete(best);
    taken[slot] = best;
  }
  return taken;
}
