/**
 * Anchors: the boxes that region proposals start from (arXiv:1506.01497), as detectron2's
 * `DefaultAnchorGenerator`.
 *
 * @module
 */
import type { Sides } from "./boxes.ts";

/** Anchors of a map. */
export interface AnchorRule {
  /** Pixels between cells. */
  readonly stride: number;
  /** Square roots of areas. */
  readonly sizes: readonly number[];
  /** Height over width. */
  readonly ratios: readonly number[];
  /** Where in its cell an anchor's centre is, in strides; 0 unless given. */
  readonly offset?: number;
}

/** Of the maps p2 … p6 of a feature pyramid (arXiv:1612.03144). */
export const PYRAMID_ANCHORS: readonly AnchorRule[] = [4, 8, 16, 32, 64].map((stride) => ({
  ...{ stride, sizes: [8 * stride], ratios: [0.5, 1, 2] },
}));

/** Anchors around a centre at 0, `[sizes · ratios, 4]`. */
export function cellAnchors({ sizes, ratios }: AnchorRule): Float32Array<ArrayBuffer> {
  return Float32Array.from(sizes.flatMap((size) =>
    ratios.flatMap((ratio) => {
      const width = Math.sqrt(size ** 2 / ratio);
      const height = ratio * width;
      return [-width / 2, -height / 2, width / 2, height / 2];
    })
  ));
}

/**
 * Anchors of a whole map.
 *
 * @param sides Cells of the map.
 * @returns `[height · width · sizes · ratios, 4]`, by row, column and anchor of the cell.
 */
export function gridAnchors(rule: AnchorRule, [height, width]: Sides): Float32Array<ArrayBuffer> {
  const { stride, offset = 0 } = rule;
  const cell = cellAnchors(rule);
  const anchors = new Float32Array(height * width * cell.length);
  for (let i = 0; i < anchors.length; i++) {
    const place = Math.floor(i / cell.length);
    const cells = i % 2 === 0 ? place % width : Math.floor(place / width);
    anchors[i] = Math.fround((offset + cells) * stride) + cell[i % cell.length];
  }
  return anchors;
}
