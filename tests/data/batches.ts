import { type ImageBatch, loadBatches, type LoadOptions } from "../../data/loader.ts";
import type { ImageSource } from "../../data/source.ts";

/** Options for small crops of a source. */
export function options(source: ImageSource, changes: Partial<LoadOptions> = {}): LoadOptions {
  return {
    source,
    seed: 5,
    batch: 4,
    start: 0,
    crop: { height: 24, width: 40, scale: [0.2, 1], flip: true },
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
    channels: 3,
    workers: 2,
    ...changes,
  };
}

/** The first batches that a loader gives. */
export async function take(count: number, options: LoadOptions): Promise<ImageBatch[]> {
  const batches: ImageBatch[] = [];
  for await (const batch of loadBatches(options)) {
    if (batches.push(batch) === count) break;
  }
  return batches;
}

/** What of batches must be equal, wherever the images came from. */
export function contentOf(batches: readonly ImageBatch[]) {
  return batches.map(({ images, indices, position }) => ({ images, indices, position }));
}
