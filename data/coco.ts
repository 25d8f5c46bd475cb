/**
 * Annotations in the format of COCO (Lin et al., arXiv:1405.0312), as far as things have boxes and
 * masks.
 *
 * @module
 */

/** A mask as lengths of runs of 0, 1, 0 … down the columns, the first perhaps empty. */
export interface RunLengths {
  readonly counts: readonly number[];
  readonly size: readonly [height: number, width: number];
}

/** Content of a file of annotations; ids count from 1. */
export interface CocoInstances {
  readonly images: readonly CocoImage[];
  readonly categories: readonly { readonly id: number; readonly name: string }[];
  readonly annotations: readonly CocoAnnotation[];
}

export interface CocoImage {
  readonly id: number;
  readonly file_name: string;
  readonly width: number;
  readonly height: number;
}

export interface CocoAnnotation {
  readonly id: number;
  readonly image_id: number;
  readonly category_id: number;
  readonly bbox: readonly [x: number, y: number, width: number, height: number];
  /** Pixels of the mask. */
  readonly area: number;
  readonly iscrowd: 0 | 1;
  readonly segmentation: RunLengths;
}

/**
 * Encodes a mask, uncompressed.
 *
 * @param mask 0 or 1 `[H, W]`.
 */
export function runLengths(mask: Uint8Array, height: number, width: number): RunLengths {
  const counts = [0];
  let last = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      const value = mask[y * width + x];
      if (value !== last) counts.push(0);
      counts[counts.length - 1]++;
      last = value;
    }
  }
  return { counts, size: [height, width] };
}
