/**
 * How well a segmenter does on images with masks.
 *
 * @module
 */
import { loadMasksInOrder, type MaskPicture } from "../../data/masks/evaluation_loader.ts";
import type { MaskEvaluationOptions } from "../../data/masks/evaluation_loader.ts";
import { SegmentationCount } from "./metrics.ts";
import type { Predictor } from "./predict.ts";

/**
 * Counts over all pairs of a source; masks are never resized, predictions are.
 *
 * @param onPicture Sees each pair with its prediction `[labelHeight, labelWidth]`.
 */
export async function measureSegmentation(
  predictor: Predictor,
  options: MaskEvaluationOptions,
  onPicture: (picture: MaskPicture, predicted: Uint16Array) => void | Promise<void> = () => {},
): Promise<SegmentationCount> {
  const count = new SegmentationCount(options.rule.classes);
  for await (const picture of loadMasksInOrder(options)) {
    const { width, height, image, labels, labelWidth, labelHeight } = picture;
    const predicted = await predictor.predict({ width, height, image }, [labelHeight, labelWidth]);
    count.add(predicted, labels);
    await onPicture(picture, predicted);
  }
  return count;
}
