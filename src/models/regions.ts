/**
 * The decisions of Mask R-CNN, which the host makes between the layers: which regions are looked at, and
 * what they should say. No gradient flows through them.
 *
 * @module
 */
import { selectInstances } from "../detection/instances.ts";
import { regionsByLevel } from "../detection/levels.ts";
import { bitmapTarget } from "../detection/mask_targets.ts";
import { type ProposalRule, selectProposals } from "../detection/proposals.ts";
import { boxBatch, maskBatch } from "../detection/region_batch.ts";
import { type RegionTargets, regionTargets } from "../detection/region_targets.ts";
import { onHost } from "../ops/host.ts";
import type { Key } from "../random.ts";
import type { Aval, HostArray, Shape, Tensor } from "../tensor.ts";
import type { EvaluationRule, TrainingRule } from "./mask_rcnn.ts";
import { MASK_BINS } from "./roi_heads.ts";
import type { BoxTargetTensors, MaskTargetTensors } from "./roi_losses.ts";
import type { AnchorOutputs } from "./rpn.ts";

/** Maps that regions are taken from: p2 … p5. */
const MAPS = 4;
/** Cells along a side of a mask. */
const MASK_SIDE = 2 * MASK_BINS;

const f32 = (...shape: number[]): Aval => ({ shape, dtype: "f32" });
const u32 = (...shape: number[]): Aval => ({ shape, dtype: "u32" });

/** What is true of images, with room for M things each. */
export type TruthTensors = {
  /** Height and width that each image fills, `[N, 2]`. */
  readonly filled: Tensor;
  /** Left, top, right and bottom edge in pixels, `[N, M, 4]`. */
  readonly boxes: Tensor;
  /** u32; K where there is no further thing, `[N, M]`. */
  readonly classes: Tensor;
  /** u32: bits of the image's masks, row by row, the lowest first, `[N, M, H · W / 32]`. */
  readonly masks: Tensor;
  /** u32: a key for each image's draws, `[N, 2]`. */
  readonly keys: Tensor;
};

/** Regions to learn from: rows for the box head and for the mask head. */
export interface TrainingRegions {
  readonly boxes: BoxTargetTensors & { readonly regions: readonly Tensor[] };
  readonly masks: MaskTargetTensors & { readonly regions: readonly Tensor[] };
}

/**
 * Chooses proposals, matches them with what is true, and samples.
 *
 * @param outputs Of the head of region proposals, a map each.
 * @param anchors Of each map, `[A, 4]`.
 * @param sides Of the images, in pixels.
 * @param classes Number of classes, K.
 */
export function trainingRegions(
  outputs: readonly AnchorOutputs[],
  anchors: readonly Float32Array[],
  truth: TruthTensors,
  sides: readonly [height: number, width: number],
  classes: number,
  rule: TrainingRule,
): TrainingRegions {
  const [N, M] = truth.classes.shape;
  const slots = rule.regions.count;
  const things = Math.trunc(slots * rule.regions.positive);
  const [rows, maskRows] = [N * slots, N * things];
  const compute = (inputs: readonly HostArray[]): HostArray[] => {
    const [filled, boxes, labels, bits, keys] = inputs.slice(2 * outputs.length);
    const scored = scoresIn(inputs, anchors);
    const targets: RegionTargets[] = [];
    const masks = Array.from({ length: N }, (_, n) => {
      const count = countBelow(labels, n * M, M, classes);
      const target = regionTargets(
        selectProposals(scored(n), sidesAt(filled, n), rule.proposals).boxes,
        {
          boxes: (boxes as Float32Array).slice(4 * n * M, 4 * (n * M + count)),
          classes: labels.subarray(n * M, n * M + count),
        },
        [keys[2 * n], keys[2 * n + 1]] as Key,
        { classes, sample: rule.regions },
      );
      targets.push(target);
      const bitmap = bitmapsIn(bits as Uint32Array, n * M, sides);
      return Array.from(target.index, (thing, row) =>
        bitmapTarget(
          bitmap(thing),
          sides,
          target.boxes.subarray(4 * row, 4 * row + 4),
          MASK_SIDE,
        ));
    });
    const forBoxes = boxBatch(targets, { slots, classes });
    const forMasks = maskBatch(targets, masks, MASK_SIDE, { slots: things, classes });
    return [
      ...forBoxes.regions,
      ...[forBoxes.classes, forBoxes.weights, forBoxes.deltas, forBoxes.thingWeights],
      ...forMasks.regions,
      ...[forMasks.classes, forMasks.weights, forMasks.masks],
    ];
  };
  const results = onHost(
    "sample_regions",
    compute,
    [...inputsOf(outputs), ...truthOf(truth)],
    [
      ...Array<Aval>(MAPS).fill(f32(rows, 5)),
      ...[u32(rows), f32(rows), f32(rows, 4), f32(rows)],
      ...Array<Aval>(MAPS).fill(f32(maskRows, 5)),
      ...[u32(maskRows), f32(maskRows), f32(maskRows, MASK_SIDE, MASK_SIDE)],
    ],
  );
  const [boxClasses, weights, deltas, thingWeights] = results.slice(MAPS);
  const forMasks = results.slice(MAPS + 4);
  const [maskClasses, maskWeights, masks] = forMasks.slice(MAPS);
  return {
    boxes: {
      ...{ regions: results.slice(0, MAPS), classes: boxClasses, weights, deltas, thingWeights },
    },
    masks: {
      ...{ regions: forMasks.slice(0, MAPS), classes: maskClasses, weights: maskWeights, masks },
    },
  };
}

/** Proposals, P slots an image. */
export interface EvaluationRegions {
  /** Of each map, `[N · P, 5]`. */
  readonly regions: readonly Tensor[];
  /** `[N · P, 4]`. */
  readonly boxes: Tensor;
  /** How many there are of each image, `[N]`. */
  readonly counts: Tensor;
}

/** Chooses the proposals that the box head looks at. */
export function evaluationRegions(
  outputs: readonly AnchorOutputs[],
  anchors: readonly Float32Array[],
  filled: Tensor,
  { proposals: rule }: { readonly proposals: ProposalRule },
): EvaluationRegions {
  const [N] = filled.shape;
  const slots = rule.after;
  const compute = (inputs: readonly HostArray[]): HostArray[] => {
    const scored = scoresIn(inputs, anchors);
    const chosen = Array.from(
      { length: N },
      (_, n) => selectProposals(scored(n), sidesAt(inputs.at(-1)!, n), rule).boxes,
    );
    const boxes = new Float32Array(4 * N * slots);
    chosen.forEach((list, n) => boxes.set(list, 4 * n * slots));
    const counts = Float32Array.from(chosen, ({ length }) => length / 4);
    return [...regionsByLevel(chosen, slots), boxes, counts];
  };
  const results = onHost("select_proposals", compute, [...inputsOf(outputs), filled], [
    ...Array<Aval>(MAPS).fill(f32(N * slots, 5)),
    ...[f32(N * slots, 4), f32(N)],
  ]);
  const [boxes, counts] = results.slice(MAPS);
  return { regions: results.slice(0, MAPS), boxes, counts };
}

/** Things, D slots an image. */
export interface Found {
  readonly regions: readonly Tensor[];
  readonly boxes: Tensor;
  readonly scores: Tensor;
  readonly classes: Tensor;
}

/**
 * Chooses the things that the mask head looks at.
 *
 * @param scores Probabilities `[N · P, K + 1]`.
 * @param deltas `[N · P, K, 4]`.
 */
export function foundThings(
  { boxes, counts }: EvaluationRegions,
  scores: Tensor,
  deltas: Tensor,
  filled: Tensor,
  { instances: rule }: Pick<EvaluationRule, "instances">,
): Found {
  const [N] = filled.shape;
  const [P, K] = [boxes.shape[0] / N, deltas.shape[1]];
  const slots = rule.most;
  const compute = (inputs: readonly HostArray[]): HostArray[] => {
    const [boxes, counts, scores, deltas, filled] = inputs as readonly Float32Array[];
    const found = Array.from({ length: N }, (_, n) => {
      const part = (values: Float32Array, size: number) =>
        values.subarray(n * P * size, (n * P + counts[n]) * size);
      return selectInstances(
        { boxes: part(boxes, 4), scores: part(scores, K + 1), deltas: part(deltas, 4 * K) },
        sidesAt(filled, n),
        rule,
      );
    });
    const results = [
      new Float32Array(4 * N * slots),
      new Float32Array(N * slots),
      new Uint32Array(N * slots).fill(K),
    ];
    found.forEach(({ boxes, scores, classes }, n) =>
      [boxes, scores, classes].forEach((values, i) =>
        results[i].set(values, n * slots * (i === 0 ? 4 : 1))
      )
    );
    return [...regionsByLevel(found.map(({ boxes }) => boxes), slots), ...results];
  };
  const results = onHost("select_things", compute, [boxes, counts, scores, deltas, filled], [
    ...Array<Aval>(MAPS).fill(f32(N * slots, 5)),
    ...[f32(N * slots, 4), f32(N * slots), u32(N * slots)],
  ]);
  const [chosen, values, classes] = results.slice(MAPS);
  return { regions: results.slice(0, MAPS), boxes: chosen, scores: values, classes };
}

function inputsOf(outputs: readonly AnchorOutputs[]): Tensor[] {
  return outputs.flatMap(({ logits, deltas }) => [logits, deltas]);
}

function truthOf({ filled, boxes, classes, masks, keys }: TruthTensors): Tensor[] {
  return [filled, boxes, classes, masks, keys];
}

/** What is known of the anchors of image n, of inputs that begin with `inputsOf`. */
function scoresIn(inputs: readonly HostArray[], anchors: readonly Float32Array[]) {
  return (n: number) =>
    anchors.map((anchors, i) => {
      const A = anchors.length / 4;
      return {
        anchors,
        logits: inputs[2 * i].subarray(n * A, (n + 1) * A) as Float32Array,
        deltas: inputs[2 * i + 1].subarray(4 * n * A, 4 * (n + 1) * A) as Float32Array,
      };
    });
}

function sidesAt(filled: HostArray, n: number): [height: number, width: number] {
  return [filled[2 * n], filled[2 * n + 1]];
}

function countBelow(labels: HostArray, start: number, most: number, limit: number): number {
  let count = 0;
  while (count < most && labels[start + count] < limit) count++;
  return count;
}

/** Unpacks masks from bits, each once. */
function bitmapsIn(bits: Uint32Array, first: number, [height, width]: Shape) {
  const size = height * width;
  const known = new Map<number, Uint8Array>();
  return (thing: number): Uint8Array => {
    let bitmap = known.get(thing);
    if (!bitmap) {
      const start = (first + thing) * size / 32;
      bitmap = new Uint8Array(size);
      for (let i = 0; i < size; i++) bitmap[i] = bits[start + (i >>> 5)] >>> (i & 31) & 1;
      known.set(thing, bitmap);
    }
    return bitmap;
  };
}
