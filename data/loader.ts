import { fold, key } from "../src/random.ts";
import { inAdvance, orders } from "./epochs.ts";
import { augmenter } from "./appearance.ts";
import type { ImageSource } from "./source.ts"; // types only: the decoder stays in the workers
import { checkNatural, checkViews, type ViewBatch, type ViewOptions, Views } from "./views.ts";
import type { Crop, Setup } from "./worker.ts";

export type { Crop, ImageSource };

/** What to load; the batches depend on all but `workers`, `prefetch` and the cache's folder. */
export interface LoadOptions extends ViewOptions, Setup {
  readonly seed: number;
  /** Samples before the first one, over all epochs: `position` of the last batch of a run. */
  readonly start: number;
  /** Views in a row of each image (repeated augmentation, arXiv:1901.09335); 1 unless given. */
  readonly repeats?: number;
}

/** Training views of N images. */
export interface ImageBatch extends ViewBatch {
  /** Samples up to the end of this batch, over all epochs. */
  readonly position: number;
  /** Epoch of the batch's first sample. */
  readonly epoch: number;
}

/**
 * Loads shuffled, augmented batches without end, in workers.
 *
 * Epoch e goes through `permutation(fold(key(seed), e))`, and a sample's draws come from
 * `fold(key(seed), e, index)`, so a batch depends on its position alone: not on the number of
 * workers or their order, their crashes, or where a run was resumed. A bad file's place is taken by
 * the next good one in the order of the epoch, with the draws of that place; a file that crashes
 * three workers is bad.
 *
 * With `repeats` r an epoch is as long, but shows only the first 1/r of its permutation: place p has
 * the image of place floor(p / r), in a view whose draws come from that image's key, with p mod r
 * folded in from the second view on.
 *
 * Leaving a `for await` over it, or its `return()`, ends the workers.
 *
 * @throws {RangeError} If an option is out of its range.
 * @throws {DataError} If more than `maxBad` or all of the files are bad.
 * @throws {Error} If workers cannot start.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { findRecipe, loadBatches, openImages } from "@mcmae/mcmae";
 *
 * const normal = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], workers: 1, maxBad: 0 };
 * const crop = { scale: [0.2, 1], flip: true } as const;
 * const { train } = await openImages(findRecipe("quickstart").data);
 * const options = { source: train, seed: 0, batch: 2, start: 0, channels: 3, ...normal } as const;
 * for await (const { images } of loadBatches({ ...options, crop: { ...crop, height: 32, width: 32 } })) {
 *   assert.equal(images.length, 2 * 32 * 32 * 3);
 *   break; // ends the workers
 * }
 * ```
 */
export async function* loadBatches(options: LoadOptions): AsyncGenerator<ImageBatch, void, void> {
  checkOptions(options);
  const { source, seed, batch, start, repeats = 1, prefetch = 2 } = options;
  const { crop, mean, std, channels, cache, augment, erase } = options;
  const { length } = source;
  const root = key(seed);
  using views = new Views(options, { crop, mean, std, channels, cache, augment, erase });

  const orderOf = orders(root, length);

  const loadSample = async (position: number) => {
    const epoch = Math.floor(position / length);
    const place = Math.floor(position % length / repeats);
    const repeat = position % length % repeats;
    const order = orderOf(epoch);
    const first = fold(root, epoch, order[place]);
    const viewKey = repeat === 0 ? first : fold(first, repeat);
    for (let next = place;; next++) { // ends: where all are bad, loading throws
      const index = order[next % length];
      const view = await views.load(index, viewKey);
      if (view) return { index, view };
    }
  };

  const size = crop.height * crop.width * channels;
  const { skipped, warnings } = views;
  const loadBatch = async (position: number): Promise<ImageBatch> => {
    const images = new Float32Array(batch * size);
    const indices = new Uint32Array(batch);
    await Promise.all(Array.from(indices, async (_, sample) => {
      const { index, view } = await loadSample(position + sample);
      images.set(view, sample * size);
      indices[sample] = index;
    }));
    const labels = views.labels(indices);
    const epoch = Math.floor(position / length);
    return {
      ...{ images, position: position + batch, epoch, indices, skipped, warnings },
      ...(labels && { labels }),
    };
  };

  yield* inAdvance({ start, batch, prefetch }, loadBatch);
}

function checkOptions(options: LoadOptions): void {
  const { start, repeats = 1, crop, mean, augment, erase } = options;
  checkViews(options, crop, options);
  if (augment) augmenter(augment, mean); // throws here, not in every worker
  checkNatural({ start });
  if (!(Number.isInteger(repeats) && repeats >= 1)) {
    throw new RangeError(`Cannot load images: repeats is ${repeats}, not a positive integer`);
  }
  for (
    const [name, [min, max]] of Object.entries({ scale: crop.scale, ratio: crop.ratio ?? [1, 1] })
  ) {
    if (!(min > 0 && min <= max)) {
      throw new RangeError(`Cannot load images: ${name} is [${min}, ${max}], not a positive range`);
    }
  }
  const { probability } = erase ?? { probability: 0 };
  if (!(probability >= 0 && probability <= 1)) {
    throw new RangeError(`Cannot erase: probability is ${probability}, not in 0–1`);
  }
}
