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
