/**
 * A segmenter on images with masks: figures by class, and pictures of some of them.
 *
 * @module
 */
import type { MaskSource } from "../../data/masks/source.ts";
import { openDevice } from "../../src/device.ts";
import type { PretrainedSegmenter } from "../../src/pretrained_segmenter.ts";
import { measureSegmentation } from "./accuracy.ts";
import type { SegmentationCount } from "./metrics.ts";
import { type Legend, legendOf } from "./overlay.ts";
import type { SegmentationPage } from "./page.ts";
import { drawingOf } from "./panels.ts";
import { type Looking, preparePredictor } from "./predict.ts";
import { scaleOf } from "./recipe.ts";

/** What to evaluate on, and how. */
export interface SegmentationRequest {
  readonly source: MaskSource;
  readonly looking: Looking;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly workers: number;
  readonly names?: readonly string[];
  /** Images to draw, spread over the source. */
  readonly pictures: number;
  readonly onProgress?: (n: number) => void;
}

/** What came of it. */
export interface SegmentationResult extends Pick<SegmentationPage, "pictures"> {
  readonly n: number;
  readonly count: SegmentationCount;
  readonly legend: Legend;
  /** Bad pairs, with the reason. */
  readonly skipped: ReadonlyMap<string, string>;
}

/**
 * Evaluates a segmenter. What its file does not tell is as ADE20K has it, where there are 150 classes.
 *
 * @throws {DataError} If all pairs are bad.
 */
export async function evaluateSegmenter(
  { settings, params, masks }: PretrainedSegmenter,
  { source, looking, mean, std, workers, names, pictures: most, onProgress }: SegmentationRequest,
): Promise<SegmentationResult> {
  const { classes, encoder: { channels } } = settings;
  const isAde = classes === 150 && !masks;
  const legend = legendOf(classes, names);
  const drawn: SegmentationPage["pictures"][number][] = [];
  const every = source.length / Math.min(most, source.length);
  let skipped: ReadonlyMap<string, string> = new Map();
  let n = 0;
  const predictor = preparePredictor(await openDevice(), settings, params, looking);
  try {
    const count = await measureSegmentation(predictor, {
      ...{ source, workers, channels, mean, std },
      rule: {
        classes,
        ignoreIndex: masks?.ignoreIndex ?? 255,
        reduceZeroLabel: masks?.reduceZeroLabel ?? isAde,
      },
      scale: isAde
        ? { long: 2048, short: 512 }
        : scaleOf({ long: masks?.long ?? null, short: masks?.short ?? null }),
    }, (picture, predicted) => {
      skipped = picture.skipped;
      n++;
      onProgress?.(n);
      if (drawn.length >= most || n - 1 < drawn.length * every) return;
      const { size, original, truth, prediction } = drawingOf(
        picture,
        predicted,
        { mean, std },
        legend,
      );
      drawn.push({ name: picture.name, size, columns: [original, truth, prediction] });
    });
    return { n, count, legend, skipped, pictures: drawn };
  } finally {
    predictor.destroy();
  }
}
