import { everyOnce } from "../epochs.ts";
import {
  checkMaskOptions,
  type MaskFigures,
  type MaskOptions,
  maskWorkers,
} from "./mask_workers.ts";
import type { Scale } from "./resize.ts";
import { pairName } from "./source.ts";

/** What to evaluate on. */
export interface MaskEvaluationOptions extends MaskOptions {
  /** What images are resized to, keeping their aspect; they keep their size if null. */
  readonly scale: Scale | null;
}

/** An image to segment, and the truth. */
export interface MaskPicture extends MaskFigures {
  /** Which pair of the source it is. */
  readonly index: number;
  readonly name: string;
  /** Of the resized image. */
  readonly width: number;
  readonly height: number;
  /** Normalised pixels `[height, width, C]`. */
  readonly image: Float32Array<ArrayBuffer>;
  /** Classes `[labelHeight, labelWidth]`, never resized; `ignoreIndex` where there is none. */
  readonly labels: Uint32Array<ArrayBuffer>;
  readonly labelWidth: number;
  readonly labelHeight: number;
}

/**
 * Loads a source's images whole with their masks, once, in their order and one by one, in workers.
 * A bad pair is left out and listed.
 *
 * Leaving a `for await` over it, or its `return()`, ends the workers.
 *
 * @throws {RangeError} If an option is out of its range.
 * @throws {DataError} If more than `maxBad` or all of the pairs are bad.
 * @throws {Error} If workers cannot start.
 */
export async function* loadMasksInOrder(
  options: MaskEvaluationOptions,
): AsyncGenerator<MaskPicture, void, void> {
  checkMaskOptions(options);
  const { source, prefetch = 2, channels, mean, std, rule, scale } = options;
  using workers = maskWorkers(options, { kind: "evaluate", channels, mean, std, rule, scale });
  const { skipped, warnings } = workers;

  const load = (index: number) => workers.load(index);
  for await (const { index, ...view } of everyOnce(source.length, prefetch, load)) {
    const { pixels, width, height, mask } = view;
    yield {
      ...{ index, name: pairName(source, index), width, height },
      image: pixels,
      labels: new Uint32Array(mask.labels),
      ...{ labelWidth: mask.width, labelHeight: mask.height, skipped, warnings },
    };
  }
}
