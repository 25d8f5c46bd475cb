/**
 * What the two published backbones of detection share: MCMAE's encoder, whose stage 3 attends within
 * windows in most blocks (arXiv:2205.03892, 2.3).
 *
 * @module
 */
import { type McmaeSettings, strideOf } from "./mcmae.ts";
import { gridOf } from "./patches.ts";
import type { Grid } from "./positions.ts";

/** Settings of both. */
export interface DetectionBackboneSettings {
  /** Its image size is that of the position embeddings, as they were pretrained. */
  readonly encoder: McmaeSettings;
  /** Images that the tables of the global blocks are for. */
  readonly imageSize: readonly [height: number, width: number];
  /** Blocks of stage 3 that attend to all tokens. */
  readonly globalBlocks: readonly number[];
  /** Tokens along the side of the other blocks' windows. */
  readonly windowSize: number;
}

/** Grids of tokens: of the position embeddings, of the tables, and of images. */
export interface Grids {
  readonly positions: Grid;
  readonly tables: Grid;
  readonly images: Grid;
}

/** @throws {RangeError} If tokens do not divide the images, or they have less than two along a side. */
export function gridsOf(
  { encoder, imageSize }: DetectionBackboneSettings,
  images: readonly number[],
): Grids {
  const stride = strideOf(encoder);
  const [H, W] = images.slice(1, 3);
  if (images.length !== 4 || H % stride !== 0 || W % stride !== 0) {
    throw new RangeError(
      `Cannot make maps of images [${images}]: the sides are no multiples of ${stride} pixels`,
    );
  }
  if (Math.min(H, W) < 2 * stride) {
    throw new RangeError(
      `Cannot make maps of images [${images}]: a side has less than ${2 * stride} pixels`,
    );
  }
  return {
    positions: gridOf(encoder.imageSize, stride),
    tables: gridOf(imageSize, stride),
    images: gridOf([H, W], stride),
  };
}
