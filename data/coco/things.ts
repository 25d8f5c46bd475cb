/**
 * Annotations and detections as columns, in which half a million take little memory.
 *
 * @module
 */
import type { Annotated } from "./annotations.ts";
import { wrongField } from "./fields.ts";
import type { CocoImage } from "./instances.ts";
import { compress } from "./segmentation.ts";

/** Things on images, one an index. */
export interface Things {
  readonly length: number;
  /** Indices of images by increasing id. */
  readonly image: Int32Array;
  /** Indices of categories by increasing id. */
  readonly category: Int32Array;
  /** `[n, 4]`: x, y, width, height. */
  readonly boxes: Float64Array;
  /** Strings of runs, if there are masks. */
  readonly masks?: readonly string[];
}

/** What is annotated. */
export interface GroundTruth extends Things {
  /** Area as annotated: of the mask. */
  readonly area: Float64Array;
  /** 1 for a region of many things. */
  readonly isCrowd: Uint8Array;
}

/** What was found. */
export interface Detections extends Things {
  readonly score: Float64Array;
  /** Pixels of each mask, if there are masks. */
  readonly maskArea?: Float64Array;
}

/** How indices of a list change if it is sorted by id, as COCO's API sorts images and categories. */
export function ranksById(list: readonly { readonly id: number }[]): Int32Array {
  const order = [...list.keys()].sort((a, b) => list[a].id - list[b].id);
  const ranks = new Int32Array(list.length);
  order.forEach((index, rank) => ranks[index] = rank);
  return ranks;
}

/** Heights of images, sorted by id. */
export function heightsById(images: readonly CocoImage[]): Int32Array {
  const heights = new Int32Array(images.length);
  ranksById(images).forEach((rank, index) => heights[rank] = images[index].height);
  return heights;
}

/**
 * Annotations of a file as columns.
 *
 * @param withMasks Whether masks are wanted, where there are any.
 * @throws {DataError} If masks are wanted, and only some annotations have one.
 */
export function groundTruthOf(
  { images, categories, annotations, imageIds, categoryIds }: Annotated,
  path: string,
  withMasks: boolean,
): GroundTruth {
  const [imageRanks, categoryRanks] = [ranksById(images), ranksById(categories)];
  const { length } = annotations;
  const masks: string[] = [];
  const isMasked = withMasks && annotations.some(({ segmentation }) => segmentation !== undefined);
  for (const [i, { image_id, segmentation }] of annotations.entries()) {
    if (!isMasked) break;
    if (segmentation === undefined) {
      throw wrongField(path, `annotations[${i}].segmentation`, "a mask", segmentation);
    }
    const { width, height } = images[imageIds.get(image_id)!];
    masks.push(compress(segmentation, [height, width]).string);
  }
  const boxes = new Float64Array(4 * length);
  annotations.forEach(({ bbox }, i) => boxes.set(bbox, 4 * i));
  return {
    ...{ length, boxes },
    image: Int32Array.from(annotations, (a) => imageRanks[imageIds.get(a.image_id)!]),
    category: Int32Array.from(annotations, (a) => categoryRanks[categoryIds.get(a.category_id)!]),
    area: Float64Array.from(annotations, ({ area }) => area),
    isCrowd: Uint8Array.from(annotations, ({ iscrowd }) => iscrowd),
    ...isMasked && { masks },
  };
}
