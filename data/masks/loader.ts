import { key } from "../../src/random.ts";
import { inAdvance, viewsByPosition } from "../epochs.ts";
import {
  checkMaskOptions,
  type MaskFigures,
  type MaskOptions,
  maskWorkers,
} from "./mask_workers.ts";
import type { MaskViewSettings } from "./views.ts";

/** What to load; the batches depend on all but `workers` and `prefetch`. */
export interface MaskLoadOptions extends MaskOptions, MaskViewSettings {
  readonly seed: number;
  /** Pairs a batch, N; may exceed the source's length. */
  readonly batch: number;
  /** Pairs before the first one, over all epochs: `position` of the last batch of a run. */
  readonly start: number;
}

/** Training views of N pairs. */
export interface MaskBatch extends MaskFigures {
  /** Normalised pixels `[N, H, W, C]`; 0 beyond an image. */
  readonly images: Float32Array<ArrayBuffer>;
  /** Classes `[N, H, W]`; the rule's `ignoreIndex` where there is none, and beyond an image. */
  readonly labels: Uint32Array<ArrayBuffer>;
  /** Which pair of the source each view shows `[N]`. */
  readonly indices: Uint32Array<ArrayBuffer>;
  /** Pairs up to the end of this batch, over all epochs. */
  readonly position: number;
  /** Epoch of the batch's first pair. */
  readonly epoch: number;
}

/**
 * Loads shuffled, augmented batches of images with their masks without end, in workers.
 *
 * Epoch e goes through `permutation(fold(key(seed), e))`, and a pair's draws come from
 * `fold(key(seed), e, index)`, so a batch depends on its position alone: not on the number of
 * workers or their order, their crashes, or where a run was resumed. A bad pair's place is taken by
 * the next good one in the order of the epoch, with the draws of that place.
 *
 * Leaving a `for await` over it, or its `return()`, ends the workers.
 *
 * @throws {RangeError} If an option is out of its range.
 * @throws {DataError} If more than `maxBad` or all of the pairs are bad.
 * @throws {Error} If workers cannot start.
 */
export async function* loadMaskBatches(
  options: MaskLoadOptions,
): AsyncGenerator<MaskBatch, void, void> {
  checkOptions(options);
  const { source: { length }, seed, batch, start, prefetch = 2 } = options;
  const { channels, mean, std, rule } = options;
  const { crop, scale, ratio, flip, photometric, categoryShare } = options;
  const root = key(seed);
  const view = { crop, scale, ratio, flip, photometric, categoryShare };
  using workers = maskWorkers(options, { kind: "train", channels, mean, std, rule, view });

  const loadPair = viewsByPosition(root, length, (index, key) => workers.load(index, key));

  const size = crop.height * crop.width;
  const { skipped, warnings } = workers;
  const loadBatch = async (position: number): Promise<MaskBatch> => {
    const images = new Float32Array(batch * size * channels);
    const labels = new Uint32Array(batch * size);
    const indices = new Uint32Array(batch);
    await Promise.all(Array.from(indices, async (_, i) => {
      const { index, pixels, mask } = await loadPair(position + i);
      images.set(pixels, i * size * channels);
      labels.set(mask.labels, i * size);
      indices[i] = index;
    }));
    const epoch = Math.floor(position / length);
    return { images, labels, indices, position: position + batch, epoch, skipped, warnings };
  };

  yield* inAdvance({ start, batch, prefetch }, loadBatch);
}

function checkOptions(options: MaskLoadOptions): void {
  const { batch, start, crop: { width, height }, ratio: [min, max], categoryShare } = options;
  checkMaskOptions(options, { batch, width, height }, { start });
  if (!(min > 0 && min <= max)) {
    throw new RangeError(`Cannot load masks: ratio is [${min}, ${max}], not a positive range`);
  }
  if (!(categoryShare > 0 && categoryShare <= 1)) {
    throw new RangeError(`Cannot load masks: categoryShare is ${categoryShare}, not in 0–1`);
  }
}
