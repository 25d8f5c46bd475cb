/**
 * Buffers for the values of a plan: a value lives from its step to its last use, and takes the
 * smallest free slot that fits it without wasting half. Pure; knows nothing of WebGPU.
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
  /** Bytes of each slot. */
  readonly slots: readonly number[];
  /** Which value took the place of which. */
  readonly inPlace: ReadonlyMap<number, number>;
}

/**
 * Assigns slots; no two values that live at the same step share one, except a value and the one
 * that it overwrites.
 *
 * @param lifetimes In any order; `over` names positions in this list.
 */
export function assignSlots(lifetimes: readonly Lifetime[]): Assignment {
  const slotOf = Array<number>(lifetimes.length).fill(-1);
  const slots: number[] = [];
  const busyUntil: number[] = []; // per slot, the last step of its value
  const overwritten = new Set<number>();
  const inPlace = new Map<number, number>();
  const order = lifetimes.keys().toArray().sort((a, b) =>
    lifetimes[a].first - lifetimes[b].first || lifetimes[b].bytes - lifetimes[a].bytes
  );
  for (const i of order) {
    const { bytes, first, last, over = [] } = lifetimes[i];
    const victim = over.find((j) =>
      lifetimes[j].last === first && lifetimes[j].bytes === bytes && !overwritten.has(j)
    );
    let slot = victim === undefined ? -1 : slotOf[victim];
    if (victim !== undefined) {
      inPlace.set(i, victim);
      overwritten.add(victim);
    } else {
      slots.forEach((size, candidate) => {
        const fits = busyUntil[candidate] < first && size >= bytes && size < 2 * bytes;
        if (fits && (slot < 0 || size < slots[slot])) slot = candidate;
      });
    }
    if (slot < 0) slot = slots.push(bytes) - 1;
    slotOf[i] = slot;
    busyUntil[slot] = last;
  }
  return { slotOf, slots, inPlace };
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
