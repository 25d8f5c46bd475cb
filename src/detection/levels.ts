/**
 * Which map of a pyramid a region is taken from (arXiv:1612.03144, equation 1).
 *
 * @module
 */
import { boxAreas } from "./boxes.ts";

const { fround } = Math;

/** Maps of a pyramid, by the logarithms of their strides. */
export interface LevelRule {
  readonly lowest: number;
  readonly highest: number;
  /** Side of the boxes that belong to `canonicalLevel`. */
  readonly canonicalSize: number;
  readonly canonicalLevel: number;
}

/** p2 … p5; boxes as large as images of ImageNet are taken from p4. */
export const PYRAMID_LEVELS: LevelRule = {
  ...{ lowest: 2, highest: 5, canonicalSize: 224, canonicalLevel: 4 },
};

/** The map of each box, from 0, as detectron2's `assign_boxes_to_levels` in float32. */
export function assignLevels(
  boxes: Float32Array,
  { lowest, highest, canonicalSize, canonicalLevel }: LevelRule = PYRAMID_LEVELS,
): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(boxAreas(boxes), (area) => {
    const size = fround(fround(fround(Math.sqrt(area)) / canonicalSize) + fround(1e-8));
    const level = Math.floor(fround(canonicalLevel + fround(Math.log2(size))));
    return Math.min(Math.max(level, lowest), highest) - lowest;
  });
}

/**
 * Boxes of a batch as regions of the maps of a pyramid.
 *
 * @param images Boxes `[n, 4]` of each image, at most `slots`.
 * @returns For each map `[images · slots, 5]`: the number of the image and the box, or −1 and zeros
 *   where a slot is empty or its box is taken from another map.
 * @throws {RangeError} If an image has more boxes than slots.
 */
export function regionsByLevel(
  images: readonly Float32Array[],
  slots: number,
  rule: LevelRule = PYRAMID_LEVELS,
): Float32Array<ArrayBuffer>[] {
  const maps = Array.from({ length: rule.highest - rule.lowest + 1 }, () => {
    const regions = new Float32Array(images.length * slots * 5);
    return regions.map((_, i) => i % 5 === 0 ? -1 : 0);
  });
  images.forEach((boxes, image) => {
    if (boxes.length > 4 * slots) {
      throw new RangeError(`Cannot put ${boxes.length / 4} boxes into ${slots} slots`);
    }
    assignLevels(boxes, rule).forEach((level, i) => {
      const row = [image, ...boxes.subarray(4 * i, 4 * i + 4)];
      maps[level].set(row, 5 * (image * slots + i));
    });
  });
  return maps;
}
