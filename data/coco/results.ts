/**
 * Reads a file of results, and says what is wrong with it.
 *
 * @module
 */
import { DataError } from "../dataset.ts";
import type { Annotated } from "./annotations.ts";
import { A_BOX, isBox, isRecord, wrongField } from "./fields.ts";
import { readRecords } from "./records.ts";
import { boxOf } from "./run_lengths.ts";
import { runsOf } from "./run_string.ts";
import { compress, type ImageSize } from "./segmentation.ts";
import { type Detections, ranksById } from "./things.ts";

/**
 * Reads a file of results: a list, perhaps empty, of objects with `image_id`, `category_id`, `score`
 * and `bbox` or `segmentation` or both, the same ones in all.
 *
 * As with COCO's API, boxes may be empty and may lie outside the image, scores may be any finite
 * numbers, and where there are no boxes they are those of the masks. Unlike there, an unknown
 * category is an error too, as are runs that do not cover the image.
 *
 * @param truth Annotations, whose images and categories results may be of.
 * @throws {DataError} If the file cannot be read, or at the first thing that is wrong.
 */
export function readResults(path: string, truth: Annotated): Detections {
  const { images, imageIds, categoryIds } = truth;
  const [imageRanks, categoryRanks] = [ranksById(images), ranksById(truth.categories)];
  const [image, category, boxes]: [number[], number[], number[]] = [[], [], []];
  const [score, masks, maskArea]: [number[], string[], number[]] = [[], [], []];
  let [hasBoxes, hasMasks] = [false, false]; // as the first result
  const take = (record: unknown, i: number): void => {
    const wrong = (name: string, wanted: string, found: unknown) =>
      wrongField(path, `[${i}]${name}`, wanted, found);
    if (!isRecord(record)) throw wrong("", "an object", record);
    const { image_id, category_id, bbox, segmentation } = record;
    const imageIndex = imageIds.get(image_id);
    if (imageIndex === undefined) {
      throw wrong(".image_id", "an id of the annotations' images", image_id);
    }
    const categoryIndex = categoryIds.get(category_id);
    if (categoryIndex === undefined) {
      throw wrong(".category_id", "an id of the annotations' categories", category_id);
    }
    if (!Number.isFinite(record.score)) throw wrong(".score", "a finite number", record.score);
    if (i === 0) [hasBoxes, hasMasks] = [bbox !== undefined, segmentation !== undefined];
    if (!hasBoxes && !hasMasks) {
      throw new DataError(`Cannot use ${path}: [${i}] has neither bbox nor segmentation`);
    }
    if (hasBoxes) {
      if (!isBox(bbox)) throw wrong(".bbox", A_BOX, bbox);
      boxes.push(...bbox);
    }
    if (hasMasks) {
      if (segmentation === undefined) throw wrong(".segmentation", "a mask", segmentation);
      const { width, height } = images[imageIndex];
      const { string, area } = maskOf(segmentation, [height, width], path, i);
      masks.push(string);
      maskArea.push(area);
      if (!hasBoxes) boxes.push(...boxOf(runsOf(string), height));
    }
    image.push(imageRanks[imageIndex]);
    category.push(categoryRanks[categoryIndex]);
    score.push(record.score as number);
  };
  readRecords(path, { "": take });
  const isMasked = hasMasks || score.length === 0; // none are whatever is wanted
  return {
    ...{ length: score.length, score: Float64Array.from(score), boxes: Float64Array.from(boxes) },
    ...{ image: Int32Array.from(image), category: Int32Array.from(category) },
    ...isMasked && { masks, maskArea: Float64Array.from(maskArea) },
  };
}

function maskOf(segmentation: unknown, size: ImageSize, path: string, index: number) {
  try {
    return compress(segmentation, size);
  } catch (cause) {
    const { message } = cause as RangeError;
    throw new DataError(`Cannot use ${path}: [${index}].segmentation ${message}`, { cause });
  }
}
