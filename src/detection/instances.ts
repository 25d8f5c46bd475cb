/**
 * Things found in an image: from scores and deltas of proposals to boxes of classes, as detectron2's
 * `fast_rcnn_inference` and `detector_postprocess`.
 *
 * @module
 */
import { BOX_WEIGHTS, decodeBoxes, type DeltaWeights } from "./box_deltas.ts";
import { clipBoxes, nonEmptyBoxes, type Sides, takeRows } from "./boxes.ts";
import { batchedNms } from "./nms.ts";

/** What counts as a thing. */
export interface InstanceRule {
  /** Scores must be above it. */
  readonly score: number;
  /** Overlap above which the worse of two boxes of a class is dropped. */
  readonly overlap: number;
  /** Most things in an image. */
  readonly most: number;
  readonly weights: DeltaWeights;
}

/** Of COCO. */
export const COCO_INSTANCES: InstanceRule = {
  ...{ score: 0.05, overlap: 0.5, most: 100, weights: BOX_WEIGHTS },
};

/** What the heads say of the proposals of an image. */
export interface ProposalScores {
  /** `[R, 4]`. */
  readonly boxes: Float32Array;
  /** Probabilities `[R, K + 1]`, the last of which is the background's. */
  readonly scores: Float32Array;
  /** `[R, K, 4]`. */
  readonly deltas: Float32Array;
}

/** Things, best first. */
export interface Instances {
  /** `[n, 4]`. */
  readonly boxes: Float32Array<ArrayBuffer>;
  readonly scores: Float32Array<ArrayBuffer>;
  readonly classes: Uint32Array<ArrayBuffer>;
  /** The proposal that each was made of. */
  readonly proposals: Uint32Array<ArrayBuffer>;
}

/** Picks the things of an image. Proposals whose values are not all finite are left out. */
export function selectInstances(
  { boxes, scores, deltas }: ProposalScores,
  image: Sides,
  { score, overlap, most, weights }: InstanceRule,
): Instances {
  const R = boxes.length / 4;
  const columns = scores.length / R;
  const K = columns - 1;
  const least = Math.fround(score);
  const [found, classes, proposals]: [number[], number[], number[]] = [[], [], []];
  for (let r = 0; r < R; r++) {
    const row = scores.subarray(r * columns, r * columns + columns);
    if (!row.subarray(0, K).some((value) => value > least)) continue;
    const decoded = decodeBoxes(
      boxes.subarray(4 * r, 4 * r + 4),
      deltas.subarray(4 * K * r, 4 * K * (r + 1)),
      weights,
    );
    if (!decoded.every(Number.isFinite) || !row.every(Number.isFinite)) continue;
    for (let k = 0; k < K; k++) {
      if (!(row[k] > least)) continue;
      found.push(...decoded.subarray(4 * k, 4 * k + 4));
      classes.push(k);
      proposals.push(r);
    }
  }
  const clipped = clipBoxes(Float32Array.from(found), image);
  const values = Float32Array.from(proposals, (r, i) => scores[r * columns + classes[i]]);
  const kept = batchedNms(clipped, values, classes, overlap).subarray(0, most);
  return {
    boxes: takeRows(clipped, kept),
    scores: takeRows(values, kept, 1),
    classes: kept.map((i) => classes[i]),
    proposals: kept.map((i) => proposals[i]),
  };
}

/**
 * Things in an image of another size; those that are empty there are left out.
 *
 * @param from Size that the boxes are of, without what was added at the borders.
 */
export function rescaleInstances(
  { boxes, scores, classes, proposals }: Instances,
  from: Sides,
  to: Sides,
): Instances {
  const scales = [to[1] / from[1], to[0] / from[0]].map(Math.fround);
  const scaled = clipBoxes(boxes.map((x, i) => x * scales[i % 2]), to);
  const kept = nonEmptyBoxes(scaled);
  return {
    boxes: takeRows(scaled, kept),
    scores: takeRows(scores, kept, 1),
    classes: kept.map((i) => classes[i]),
    proposals: kept.map((i) => proposals[i]),
  };
}
