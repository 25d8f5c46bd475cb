/**
 * How far detections overlap annotations of the same image and category.
 *
 * @module
 */
import { type Box, boxIou } from "../../data/coco/box.ts";
import { areaOf, boxOf, intersectionOf, overlap } from "../../data/coco/run_lengths.ts";
import { decodeRuns } from "../../data/coco/run_string.ts";
import type { Detections, GroundTruth } from "../../data/coco/things.ts";

/** Intersections over unions `[D, G]` of D detections and G annotations, given as indices. */
export type Overlaps = (ds: Int32Array, gs: Int32Array) => Float64Array;

/** Overlaps of boxes. */
export function boxOverlaps(truth: GroundTruth, found: Detections): Overlaps {
  return (ds, gs) => {
    const ious = new Float64Array(ds.length * gs.length);
    for (let i = 0; i < ious.length; i++) {
      const [d, g] = [ds[Math.floor(i / gs.length)], gs[i % gs.length]];
      ious[i] = boxIou(found.boxes, d, truth.boxes, g, truth.isCrowd[g] === 1);
    }
    return ious;
  };
}

/**
 * Overlaps of masks: of runs, where their boxes overlap at all. Strings are decoded anew for each
 * image, to the same memory.
 *
 * @param heights Of images, by the indices of `image`.
 * @throws {RangeError} If there are no masks.
 */
export function maskOverlaps(
  truth: GroundTruth,
  found: Detections,
  heights: ArrayLike<number>,
): Overlaps {
  if (!truth.masks || !found.masks) throw new RangeError("Cannot compare masks: there are none");
  const [trueMasks, foundMasks] = [truth.masks, found.masks];
  let counts = new Uint32Array(1 << 12);
  return (ds, gs) => {
    const strings = [
      ...Array.from(ds, (d) => foundMasks[d]),
      ...Array.from(gs, (g) => trueMasks[g]),
    ];
    const room = strings.reduce((sum, { length }) => sum + length, 0);
    if (counts.length < room) counts = new Uint32Array(2 * room);
    const height = heights[truth.image[gs[0]]];
    let at = 0;
    const masks = strings.map((string): DecodedMask => {
      const from = at;
      at = decodeRuns(string, counts, from);
      return {
        ...{ from, to: at, area: areaOf(counts, from, at) },
        box: boxOf(counts, height, from, at),
      };
    });
    const ious = new Float64Array(ds.length * gs.length);
    for (let i = 0; i < ious.length; i++) {
      const [a, j] = [masks[Math.floor(i / gs.length)], i % gs.length];
      const b = masks[ds.length + j];
      if (boxIou(a.box, 0, b.box, 0, false) === 0) continue;
      const both = intersectionOf(counts, counts, a.from, a.to, b.from, b.to);
      ious[i] = overlap(both, a.area, b.area, truth.isCrowd[gs[j]] === 1);
    }
    return ious;
  };
}

/** A mask's place in the list of counts, and what is known of it. */
interface DecodedMask {
  readonly from: number;
  readonly to: number;
  readonly area: number;
  readonly box: Box;
}
