import { checkViews, type ViewBatch, type ViewOptions, Views } from "./views.ts";
import type { EvaluationCrop, Reading } from "./worker.ts";

export type { EvaluationCrop };

/** What to evaluate on. */
export interface EvaluationOptions extends ViewOptions, Reading {
  readonly crop: EvaluationCrop;
}

/**
 * Loads evaluation crops of a source's images, once and in their order, in workers.
 *
 * A bad image is left out and listed: the next ones move up, so that all batches have N images but
 * the last. None is put in its place, as it would count twice.
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
 * import { findRecipe, loadInOrder, openImages } from "@mcmae/mcmae";
 *
 * const normal = { channels: 3, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
 * const { train: source } = await openImages(findRecipe("quickstart").data);
 * const options = { source, ...normal, crop: { width: 32, height: 32 }, batch: 10, workers: 1 };
 * for await (const { images, indices } of loadInOrder(options)) {
 *   assert.deepEqual([...indices.slice(0, 3)], [0, 1, 2]);
 *   assert.equal(images.length, indices.length * 32 * 32 * 3);
 *   break; // ends the workers
 * }
 * ```
 */
export async function* loadInOrder(
  options: EvaluationOptions,
): AsyncGenerator<ViewBatch, void, void> {
  checkOptions(options);
  const { source: { length }, batch, prefetch = 2, crop, mean, std, channels, cache } = options;
  using views = new Views(options, { evaluate: crop, mean, std, channels, cache });
  const { skipped, warnings } = views;
  const size = crop.width * crop.height * channels;

  const asked: ReturnType<Views["load"]>[] = [];
  let next = 0;
  const askUpTo = (end: number) => {
    for (; next < Math.min(end, length); next++) {
      const loading = views.load(next);
      loading.catch(() => {}); // reported when its turn comes
      asked.push(loading);
    }
  };

  let images = new Float32Array(Math.min(batch, length) * size);
  let found: number[] = [];
  const take = (): ViewBatch => {
    const indices = Uint32Array.from(found);
    const labels = views.labels(indices);
    const taken = images.subarray(0, found.length * size);
    images = new Float32Array(images.length);
    found = [];
    return { images: taken, indices, ...(labels && { labels }), skipped, warnings };
  };

  for (let index = 0; index < length; index++) {
    // Whole batches, so that messages are full.
    if (index % batch === 0) askUpTo(index + (1 + prefetch) * batch);
    const view = await asked.shift()!;
    if (!view) continue;
    images.set(view, found.length * size);
    if (found.push(index) * size === images.length) yield take();
  }
  if (found.length > 0) yield take();
}

function checkOptions(options: EvaluationOptions): void {
  const { crop } = options;
  checkViews(options, crop, options);
  const { cropPct = 1 } = crop;
  if (!(cropPct > 0 && cropPct <= 1)) {
    throw new RangeError(`Cannot load images: cropPct is ${cropPct}, not in 0–1`);
  }
}
