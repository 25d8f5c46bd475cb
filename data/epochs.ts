/**
 * Endless loading, epoch by epoch: what comes when, and how far ahead.
 *
 * @module
 */
import { fold, type Key, permutation } from "../src/random.ts";

/** The order in which each epoch goes through `length` samples: `permutation(fold(root, epoch))`. */
export function orders(root: Key, length: number): (epoch: number) => Uint32Array {
  let order = new Uint32Array();
  let current = -1;
  return (epoch) => {
    if (epoch !== current) order = permutation(fold(root, epoch), length);
    current = epoch;
    return order;
  };
}

/**
 * Yields batches in their order without end, each begun `prefetch` batches ahead.
 *
 * @param start Position of the first.
 * @param batch Samples in each.
 */
export async function* inAdvance<Batch>(
  { start, batch, prefetch }: Readonly<Record<"start" | "batch" | "prefetch", number>>,
  load: (position: number) => Promise<Batch>,
): AsyncGenerator<Batch, void, void> {
  const ahead: Promise<Batch>[] = [];
  for (let position = start;; position += batch) {
    const loading = load(position);
    loading.catch(() => {}); // reported when its turn comes
    ahead.push(loading);
    if (ahead.length > prefetch) yield await ahead.shift()!;
  }
}

/**
 * Finds the view at each position: in the order of its epoch, with the draws of its place. A bad
 * sample's place is taken by the next good one.
 *
 * @param load A view of a sample, or undefined if it is bad; throws if all are.
 */
export function viewsByPosition<View extends object>(
  root: Key,
  length: number,
  load: (index: number, key: Key) => Promise<View | undefined>,
): (position: number) => Promise<View & { readonly index: number }> {
  const orderOf = orders(root, length);
  return async (position) => {
    const epoch = Math.floor(position / length);
    const place = position % length;
    const order = orderOf(epoch);
    const key = fold(root, epoch, order[place]);
    for (let next = place;; next++) { // ends: where all are bad, loading throws
      const index = order[next % length];
      const view = await load(index, key);
      if (view) return { index, ...view };
    }
  };
}

/** Yields the views of all samples in their order, each begun `prefetch` ahead; bad ones are left out. */
export async function* everyOnce<View extends object>(
  length: number,
  prefetch: number,
  load: (index: number) => Promise<View | undefined>,
): AsyncGenerator<View & { readonly index: number }, void, void> {
  const asked: Promise<View | undefined>[] = [];
  for (let index = 0; index < length; index++) {
    while (asked.length <= prefetch && index + asked.length < length) {
      const loading = load(index + asked.length);
      loading.catch(() => {}); // reported when its turn comes
      asked.push(loading);
    }
    const view = await asked.shift()!;
    if (view) yield { index, ...view };
  }
}
