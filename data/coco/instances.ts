/**
 * Annotations and results in the format of COCO (Lin et al., arXiv:1405.0312), as far as things have
 * boxes and masks.
 *
 * @module
 */
import type { Box } from "./box.ts";
import type { RunLengths } from "./run_lengths.ts";

/** A mask: the union of polygons `[x, y, x, y …]`, or runs, also as a string (`run_string.ts`). */
export type Segmentation =
  | readonly (readonly number[])[]
  | RunLengths
  | { readonly counts: string; readonly size: readonly [height: number, width: number] };

/** Content of a file of annotations. */
export interface CocoInstances {
  readonly images: readonly CocoImage[];
  readonly categories: readonly CocoCategory[];
  readonly annotations: readonly CocoAnnotation[];
}

export interface CocoImage {
  readonly id: number;
  readonly file_name: string;
  readonly width: number;
  readonly height: number;
}

export interface CocoCategory {
  readonly id: number;
  readonly name: string;
}

export interface CocoAnnotation<Mask = Segmentation | undefined> {
  readonly id: number;
  readonly image_id: number;
  readonly category_id: number;
  readonly bbox: Box;
  /** Pixels of the mask. */
  readonly area: number;
  /** 1 for a region of many things. */
  readonly iscrowd: 0 | 1;
  readonly segmentation: Mask;
}
