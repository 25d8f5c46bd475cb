import { key } from "../../src/random.ts";
import { inAdvance, viewsByPosition } from "../epochs.ts";
import type { Figures } from "../source_workers.ts";
import { type ThingOptions, thingWorkers } from "./thing_workers.ts";
import type { ThingViewSettings } from "./views.ts";

/** What to load; the batches depend on all but `workers` and `prefetch`. */
export interface ThingLoadOptions extends ThingOptions, ThingViewSettings {
  readonly seed: number;
  /** Images a batch, N; may exceed the source's length. */
  readonly batch: number;
  /** Images before the first one, over all epochs: `position` of the last batch of a run. */
  readonly start: number;
}

/** Training views of N images, with room for `most` things, M, in each. */
export interface ThingBatch extends Figures {
  /** Normalised pixels `[N, H, W, C]`; 0 beyond an image. */
  readonly images: Float32Array<ArrayBuffer>;
  /** Height and width that each image fills `[N, 2]`. */
  readonly filled: Float32Array<ArrayBuffer>;
  /** Edges of things in pixels `[N, M, 4]`: left, top, right, bottom. */
  readonly boxes: Float32Array<ArrayBuffer>;
  /** `[N, M]`; K where there is no further thing. */
  readonly classes: Uint32Array<ArrayBuffer>;
  /** Bits of the view, row by row, the lowest first `[N, M, H · W / 32]`. */
  readonly masks: Uint32Array<ArrayBuffer>;
  /** Which image of the source each view shows `[N]`. */
  readonly indices: Uint32Array<ArrayBuffer>;
  /** Images up to the end of this batch, over all epochs. */
  readonly position: number;
  /** Epoch of the batch's first image. */
  readonly epoch: number;
}

/**
 * Loads shuffled, augmented batches of images with their things without end, in workers; order and
 * draws as {@linkcode loadMaskBatches}.
 *
 * Leaving a `for await` over it, or its `return()`, ends the workers.
 *
 * @throws {RangeError} If an option is out of its range.
 * @throws {DataError} If more than `maxBad` or all of the images are bad.
 * @throws {Error} If workers cannot start.
 */
export async function* loadThingBatches(
  options: ThingLoadOptions,
): AsyncGenerator<ThingBatch, void, void> {
  const { source, seed, batch, start, prefetch = 2, most } = options;
  const { canvas, jitter, shorter, longer, flip, channels, mean, std } = options;
  const { length, categories: { length: K } } = source;
  checkOptions(options);
  const root = key(seed);
  const view = { canvas, jitter, shorter, longer, flip, most };
  using workers = thingWorkers(options, { kind: "train", channels, mean, std, view });
  const loadView = viewsByPosition(root, length, (index, key) => workers.load(index, key));

  const size = canvas.height * canvas.width;
  const { skipped, warnings } = workers;
  const loadBatch = async (position: number): Promise<ThingBatch> => {
    const images = new Float32Array(batch * size * channels);
    const filled = new Float32Array(batch * 2);
    const boxes = new Float32Array(batch * most * 4);
    const classes = new Uint32Array(batch * most).fill(K);
    const masks = new Uint32Array(batch * most * size / 32);
    const indices = new Uint32Array(batch);
    await Promise.all(Array.from(indices, async (_, i) => {
      const view = await loadView(position + i);
      images.set(view.pixels, i * size * channels);
      filled.set(view.filled, 2 * i);
      boxes.set(view.boxes, i * most * 4);
      classes.set(view.classes, i * most);
      masks.set(view.masks, i * most * size / 32);
      indices[i] = view.index;
    }));
    const epoch = Math.floor(position / length);
    return {
      ...{ images, filled, boxes, classes, masks, indices },
      ...{ position: position + batch, epoch, skipped, warnings },
    };
  };
  yield* inAdvance({ start, batch, prefetch }, loadBatch);
}

function checkOptions(
  { batch, start, most, jitter, shorter, longer, canvas }: ThingLoadOptions,
): void {
  const counts = { batch, most, longer, ...Object.fromEntries(shorter.entries()) };
  for (const [name, value] of Object.entries({ ...counts, start: start + 1 })) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new RangeError(
      `Cannot load annotated images: ${name} is ${value}, not a positive integer`,
    );
  }
  if (jitter && !(jitter[0] > 0 && jitter[0] <= jitter[1])) {
    throw new RangeError(
      `Cannot load annotated images: jitter is [${jitter}], not a positive range`,
    );
  }
  if (!jitter && longer > Math.min(canvas.width, canvas.height)) {
    throw new RangeError(
      `Cannot load annotated images: edges of ${longer} do not fit ${canvas.height} × ${canvas.width}`,
    );
  }
}
