/**
 * Sampled proposals of several images in as many rows as fit the most of them. Rows that are left over
 * count nothing.
 *
 * @module
 */
import { type LevelRule, PYRAMID_LEVELS, regionsByLevel } from "./levels.ts";
import type { RegionTargets } from "./region_targets.ts";

/** What the losses of the heads take, row by row. */
export interface RegionBatch {
  /** Rows as regions of each map of the pyramid, `[rows, 5]` each. */
  readonly regions: readonly Float32Array<ArrayBuffer>[];
  /** K for background, K + 1 for rows left over, `[rows]`. */
  readonly classes: Uint32Array<ArrayBuffer>;
  /** Share of the row in a mean over all that are sampled, `[rows]`. */
  readonly weights: Float32Array<ArrayBuffer>;
}

/** Rows of boxes: those of things also have a target. */
export interface BoxBatch extends RegionBatch {
  /** `[rows, 4]`. */
  readonly deltas: Float32Array<ArrayBuffer>;
  /** The row's weight if it is of a thing, else 0, `[rows]`. */
  readonly thingWeights: Float32Array<ArrayBuffer>;
}

/** Rows of things with their masks. */
export interface MaskBatch extends RegionBatch {
  /** 0 or 1, `[rows, side, side]`. */
  readonly masks: Float32Array<ArrayBuffer>;
}

/** How a batch is laid out. */
export interface BatchRule {
  /** Rows of an image. */
  readonly slots: number;
  /** Number of classes, K. */
  readonly classes: number;
  readonly levels?: LevelRule;
}

/**
 * Joins what was sampled of images, for the box head.
 *
 * @throws {RangeError} If an image has more proposals than slots.
 */
export function boxBatch(images: readonly RegionTargets[], rule: BatchRule): BoxBatch {
  const batch = rowsOf(images, rule);
  const rows = batch.classes.length;
  const deltas = new Float32Array(4 * rows);
  images.forEach((image, i) => deltas.set(image.deltas, 4 * i * rule.slots));
  const isThing = (row: number) => batch.classes[row] < rule.classes;
  return {
    ...{ ...batch, deltas },
    thingWeights: batch.weights.map((weight, row) => isThing(row) ? weight : 0),
  };
}

/**
 * Joins the things of what was sampled of images, for the mask head.
 *
 * @param masks Of each image the target of each of its things, `[side, side]`.
 * @throws {RangeError} If an image has more things than slots, or not as many masks as things.
 */
export function maskBatch(
  images: readonly RegionTargets[],
  masks: readonly (readonly Uint8Array[])[],
  side: number,
  rule: BatchRule,
): MaskBatch {
  images.forEach(({ things }, i) => {
    if (masks[i].length !== things) {
      throw new RangeError(`Cannot join ${masks[i].length} masks with ${things} things`);
    }
  });
  const batch = rowsOf(
    images.map(({ boxes, classes, things }) => ({
      boxes: boxes.subarray(0, 4 * things),
      classes: classes.subarray(0, things),
    })),
    rule,
  );
  const cells = new Float32Array(batch.classes.length * side * side);
  masks.forEach((list, image) =>
    list.forEach((mask, i) => cells.set(mask, (image * rule.slots + i) * side * side))
  );
  return { ...batch, masks: cells };
}

function rowsOf(
  images: readonly Pick<RegionTargets, "boxes" | "classes">[],
  { slots, classes: K, levels = PYRAMID_LEVELS }: BatchRule,
): RegionBatch {
  const regions = regionsByLevel(images.map(({ boxes }) => boxes), slots, levels);
  const classes = new Uint32Array(images.length * slots).fill(K + 1);
  images.forEach((image, i) => classes.set(image.classes, i * slots));
  const count = images.reduce((total, { classes: { length } }) => total + length, 0);
  return {
    ...{ regions, classes },
    weights: Float32Array.from(classes, (label) => label > K ? 0 : 1 / count),
  };
}
