/** Golden primitives of Mask R-CNN that the host computes: boxes, matches, proposals. */
import { type AnchorRule, cellAnchors, gridAnchors } from "../../src/detection/anchors.ts";
import {
  BOX_WEIGHTS,
  decodeBoxes,
  type DeltaWeights,
  encodeBoxes,
} from "../../src/detection/box_deltas.ts";
import {
  boxAreas,
  clipBoxes,
  nonEmptyBoxes,
  pairwiseIou,
  type Sides,
} from "../../src/detection/boxes.ts";
import { selectInstances } from "../../src/detection/instances.ts";
import { assignLevels } from "../../src/detection/levels.ts";
import { ANCHOR_MATCH, matchBoxes, PROPOSAL_MATCH } from "../../src/detection/match.ts";
import { batchedNms, nms } from "../../src/detection/nms.ts";
import { selectProposals } from "../../src/detection/proposals.ts";
import { resizeShortestEdge } from "../../src/detection/resize_shortest_edge.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { BOUNDS, check, compare, type TensorCheck } from "./check.ts";
import { floats, json, namesUnder, tensorOf } from "./fixture.ts";

/** The file's own bound. */
const OUTPUT = 3e-6;
/** Share of anchors whose label hangs on overlaps that tie. */
const TIES = 0.003;

/** Compares what needs no device. */
export function* checkDetectionBoxes(file: Safetensors): Generator<TensorCheck> {
  yield* checkBoxes(file);
  yield* checkSuppression(file);
  yield* checkAnchors(file);
  yield* checkMatches(file);
  yield* checkProposals(file);
  yield* checkInstances(file);
  const { rows } = json<{ rows: number[][] }>(file, "resize_shortest_edge");
  const sides = rows.flatMap(([h, w, shorter, longest]) =>
    resizeShortestEdge([h, w], shorter, longest)
  );
  const expected = rows.flatMap((row) => row.slice(4));
  yield compare("resize_shortest_edge", sides, expected, BOUNDS.exact);
}

/** @throws {RangeError} If the tensor is missing or not of integers. */
export function integers(file: Safetensors, name: string): Int32Array | Uint8Array {
  const { dtype, data } = tensorOf(file, name);
  if (dtype !== "I32" && dtype !== "U8") throw new RangeError(`Tensor ${name} is ${dtype}`);
  return data as Int32Array | Uint8Array;
}

/** Tensors whose names end with the numbers from 0. */
export function numbered(file: Safetensors, prefix: string): Float32Array[] {
  return namesUnder(file, prefix).toSorted().map((_, i) => floats(file, `${prefix}${i}`));
}

/** One compared tensor, exactly unless a bound is given. */
function same(
  file: Safetensors,
  name: string,
  actual: ArrayLike<number>,
  bound: number = BOUNDS.exact,
): TensorCheck {
  return compare(name, actual, tensorOf(file, name).data as ArrayLike<number>, bound);
}

function* checkBoxes(file: Safetensors): Generator<TensorCheck> {
  const [src, tgt] = [floats(file, "box.src"), floats(file, "box.tgt")];
  const { weights } = json<{ weights: Record<string, DeltaWeights> }>(file, "box");
  for (const [name, factors] of Object.entries(weights)) {
    const at = `box.out.${name}`;
    yield same(file, `${at}.encode`, encodeBoxes(src, tgt, factors), OUTPUT);
    for (const kind of ["", "_multi"]) {
      const decoded = decodeBoxes(src, floats(file, `box.deltas${kind}`), factors);
      yield same(file, `${at}.decode${kind}`, decoded, OUTPUT);
    }
  }
  for (const name of namesUnder(file, "box.out.clip_h")) {
    const clipped = clipBoxes(src, name.split("_w").map(Number) as unknown as Sides);
    yield same(file, `box.out.clip_h${name}`, clipped);
    const flags = new Uint8Array(src.length / 4);
    nonEmptyBoxes(clipped).forEach((i) => flags[i] = 1);
    yield same(file, "box.out.clip_nonempty", flags);
  }
  yield same(file, "box.out.area", boxAreas(src), OUTPUT);
  yield same(file, "box.out.pairwise_iou", pairwiseIou(src, tgt), OUTPUT);
  const levels = assignLevels(floats(file, "levels.boxes"));
  yield same(file, "levels.out.assign", levels);
}

function* checkSuppression(file: Safetensors): Generator<TensorCheck> {
  const [boxes, scores] = [floats(file, "nms.boxes"), floats(file, "nms.scores")];
  for (const name of namesUnder(file, "nms.out.")) {
    const [kind, threshold] = name.split("_");
    const kept = kind === "nms"
      ? nms(boxes, scores, Number(threshold))
      : batchedNms(boxes, scores, integers(file, "nms.classes"), Number(threshold));
    yield same(file, `nms.out.${name}`, kept);
  }
}

interface AnchorSettings {
  readonly grid_hw: readonly Sides[];
  readonly strides: readonly number[];
  readonly sizes: readonly number[];
  readonly aspect_ratios: readonly number[];
  readonly offset: number;
}

function anchorRules(file: Safetensors): AnchorRule[] {
  const { strides, sizes, aspect_ratios: ratios, offset } = json<AnchorSettings>(file, "anchors");
  return strides.map((stride, i) => ({ ...{ stride, ratios, offset }, sizes: [sizes[i]] }));
}

/** Anchors of each map of the file's pyramid. */
export function anchorsOf(file: Safetensors): Float32Array[] {
  const { grid_hw } = json<AnchorSettings>(file, "anchors");
  return anchorRules(file).map((rule, level) => gridAnchors(rule, grid_hw[level]));
}

function* checkAnchors(file: Safetensors): Generator<TensorCheck> {
  const rules = anchorRules(file);
  for (const [level, anchors] of anchorsOf(file).entries()) {
    yield same(file, `anchors.out.cell${level}`, cellAnchors(rules[level]));
    yield same(file, `anchors.out.level${level}`, anchors);
  }
}

function* checkMatches(file: Safetensors): Generator<TensorCheck> {
  const anchors = Float32Array.from(anchorsOf(file).flatMap((level) => [...level]));
  const [truth, proposals] = [floats(file, "matcher.gt"), floats(file, "matcher.proposals")];
  for (
    const [name, boxes, rule] of [
      ["rpn", anchors, ANCHOR_MATCH],
      ["roi", proposals, PROPOSAL_MATCH],
    ] as const
  ) {
    const { index, label } = matchBoxes(truth, boxes, rule);
    yield same(file, `matcher.out.${name}_idx`, index);
    yield same(file, `matcher.out.${name}_label`, label);
  }
  const ious = pairwiseIou(truth, proposals);
  yield same(file, "matcher.out.iou_gt_proposals", ious, OUTPUT);
  for (const [i, boxes] of numbered(file, "rpn.gt_boxes_img").entries()) {
    const { label } = matchBoxes(boxes, anchors, ANCHOR_MATCH);
    const name = `rpn.out.presample_labels_img${i}`;
    yield check(name, differing(label, integers(file, name)), TIES);
  }
}

interface ProposalSettings {
  readonly image_sizes: readonly Sides[];
  readonly pre_nms_topk_per_level: number;
  readonly post_nms_topk: number;
  readonly nms_thresh: number;
  readonly min_box_size: number;
}

function* checkProposals(file: Safetensors): Generator<TensorCheck> {
  const settings = json<ProposalSettings>(file, "proposals");
  const anchors = anchorsOf(file);
  const rule = {
    ...{ before: settings.pre_nms_topk_per_level, after: settings.post_nms_topk },
    ...{ overlap: settings.nms_thresh, leastSide: settings.min_box_size },
  };
  for (const [image, sides] of settings.image_sizes.entries()) {
    const maps = anchors.map((anchors, level) => {
      const A = anchors.length / 4;
      const of = (name: string, size: number) =>
        floats(file, `proposals.${name}${level}`).subarray(
          image * A * size,
          (image + 1) * A * size,
        );
      return { anchors, logits: of("logits", 1), deltas: of("deltas", 4) };
    });
    const { boxes, scores } = selectProposals(maps, sides, rule);
    yield same(file, `proposals.out.boxes_img${image}`, boxes, OUTPUT);
    yield same(file, `proposals.out.scores_img${image}`, scores);
  }
}

interface InstanceSettings {
  readonly infer: {
    readonly logits_scale: number;
    readonly image_hw: Sides;
    readonly score_thresh: number;
    readonly nms: number;
    readonly topk: number;
  };
}

function* checkInstances(file: Safetensors): Generator<TensorCheck> {
  const { infer } = json<InstanceSettings>(file, "fastrcnn");
  const [, columns] = tensorOf(file, "fastrcnn.logits").shape;
  const powers = floats(file, "fastrcnn.logits").map((z) => z * infer.logits_scale);
  const scores = powers.map((_, i) => {
    const row = powers.subarray(i - i % columns, i - i % columns + columns);
    const highest = Math.max(...row);
    const total = row.reduce((sum, z) => sum + Math.exp(z - highest), 0);
    return Math.exp(powers[i] - highest) / total;
  });
  const found = selectInstances(
    {
      ...{ scores, boxes: floats(file, "fastrcnn.proposal_boxes") },
      deltas: floats(file, "fastrcnn.deltas"),
    },
    infer.image_hw,
    {
      ...{ score: infer.score_thresh, overlap: infer.nms, most: infer.topk },
      weights: BOX_WEIGHTS,
    },
  );
  yield same(file, "fastrcnn.out.infer_boxes", found.boxes, OUTPUT);
  yield same(file, "fastrcnn.out.infer_scores", found.scores, OUTPUT);
  yield same(file, "fastrcnn.out.infer_classes", found.classes);
  yield same(file, "fastrcnn.out.infer_kept_proposal", found.proposals);
}

/** Share of values that are not the expected ones. */
export function differing(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  const count = Array.from(expected).filter((value, i) => value !== actual[i]).length;
  return actual.length === expected.length ? count / expected.length : Infinity;
}
