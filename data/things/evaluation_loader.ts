import { everyOnce } from "../epochs.ts";
import type { Figures } from "../source_workers.ts";
import { type ThingOptions, thingWorkers } from "./thing_workers.ts";
import type { ThingScale } from "./views.ts";

/** What to evaluate on. */
export interface ThingEvaluationOptions extends ThingOptions {
  readonly scale: ThingScale;
}

/** An image to find things in. */
export interface ThingPicture extends Figures {
  /** Which image of the source it is. */
  readonly index: number;
  /** Normalised pixels of the canvas `[H, W, C]`; 0 beyond the image. */
  readonly image: Float32Array<ArrayBuffer>;
  /** What the image fills of it, and its own size. */
  readonly filled: readonly [height: number, width: number];
  readonly original: readonly [height: number, width: number];
}

/**
 * Loads a source's images whole, once, in their order and one by one, in workers. A bad image is left
 * out and listed.
 *
 * Leaving a `for await` over it, or its `return()`, ends the workers.
 *
 * @throws {RangeError} If an option is out of its range.
 * @throws {DataError} If more than `maxBad` or all of the images are bad.
 * @throws {Error} If workers cannot start.
 */
export async function* loadThingsInOrder(
  options: ThingEvaluationOptions,
): AsyncGenerator<ThingPicture, void, void> {
  const { source: { length }, prefetch = 2, channels, mean, std, scale } = options;
  using workers = thingWorkers(options, { kind: "evaluate", channels, mean, std, scale });
  const { skipped, warnings } = workers;
  const load = (index: number) => workers.load(index);
  for await (const { index, ...view } of everyOnce(length, prefetch, load)) {
    const { pixels, filled, original } = view;
    yield { index, image: pixels, filled, original, skipped, warnings };
  }
}
