/**
 * Mask R-CNN (arXiv:1703.06870) on MCMAE's encoder (arXiv:2205.03892, 2.3), by detectron2's names:
 * `backbone.…`, `proposal_generator.…`, `roi_heads.…`.
 *
 * @module
 */
import { gridAnchors, PYRAMID_ANCHORS } from "../detection/anchors.ts";
import type { InstanceRule } from "../detection/instances.ts";
import type { ProposalRule } from "../detection/proposals.ts";
import type { SampleRule } from "../detection/sample.ts";
import type { Initializer } from "../init.ts";
import { softmax } from "../ops/attention.ts";
import { add, where } from "../ops/map.ts";
import { concat, partsOf, slice } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";
import { byRunning, type Normalise } from "./batch_norm.ts";
import { featurePyramid, type FpnParams, initFpn, type Pyramid } from "./fpn.ts";
import type { NormKind } from "./normed_convolution.ts";
import { evaluationRegions, foundThings, type TrainingRegions } from "./regions.ts";
import {
  BOX_BINS,
  boxHead,
  initRoiHeads,
  MASK_BINS,
  maskHead,
  poolRegions,
  predictBoxes,
  type RoiHeadsParams,
} from "./roi_heads.ts";
import { boxLoss, maskLoss, maskProbabilities } from "./roi_losses.ts";
import { type AnchorOutputs, type AnchorTargetTensors, initRpnHead, proposalLoss } from "./rpn.ts";
import { rpnHead, type RpnHeadParams } from "./rpn.ts";
import type { Branch } from "./transformer.ts";
import {
  initVitdetBackbone,
  vitdetBackboneMaps,
  type VitdetBackboneParams,
  type VitdetBackboneSettings,
} from "./vitdet_backbone.ts";
import {
  initWindowedBackbone,
  windowedBackboneMaps,
  type WindowedBackboneParams,
  type WindowedBackboneSettings,
} from "./windowed_backbone.ts";

/** Which backbone: with maps of four scales that are joined, or with a pyramid of the last one. */
export type MaskRcnnBackbone =
  | { readonly kind: "windowed" } & WindowedBackboneSettings & { readonly outChannels: number }
  | { readonly kind: "vitdet" } & VitdetBackboneSettings;

/** Settings of a detector. */
export interface MaskRcnnSettings {
  readonly backbone: MaskRcnnBackbone;
  /** Number of classes, K. */
  readonly classes: number;
  /** Width of the box head's linear layer. */
  readonly headWidth: number;
  /** Convolutions of the head of region proposals. */
  readonly rpnConvolutions: number;
  /** Of the joined maps and the heads. */
  readonly norm: NormKind;
}

export type MaskRcnnParams = {
  readonly backbone:
    | FpnParams & { readonly bottom_up: WindowedBackboneParams }
    | VitdetBackboneParams;
  readonly proposal_generator: { readonly rpn_head: RpnHeadParams };
  readonly roi_heads: RoiHeadsParams;
};

const ANCHORS_A_CELL = PYRAMID_ANCHORS[0].sizes.length * PYRAMID_ANCHORS[0].ratios.length;

/** Draws parameters. */
export function initMaskRcnn(settings: MaskRcnnSettings, draw: Initializer): MaskRcnnParams {
  const { backbone, classes, headWidth: width, norm, rpnConvolutions } = settings;
  const { encoder: { embedDims: [C1, C2, C3] }, outChannels: channels } = backbone;
  return {
    backbone: backbone.kind === "vitdet" ? initVitdetBackbone(backbone, draw) : {
      bottom_up: initWindowedBackbone(backbone, draw),
      ...initFpn(draw, [C1, C2, C3, C3], channels, norm),
    },
    proposal_generator: {
      rpn_head: initRpnHead(draw, channels, ANCHORS_A_CELL, rpnConvolutions),
    },
    roi_heads: initRoiHeads(draw, { channels, width, classes, norm }),
  };
}

/**
 * Maps p2 … p6 of images `[N, H, W, 3]`, `[N, H/4, W/4, C]` … `[N, H/64, W/64, C]`.
 *
 * @throws {RangeError} If the sides are no multiples of 32.
 */
export function maskRcnnMaps(
  { backbone: params }: MaskRcnnParams,
  { backbone }: Pick<MaskRcnnSettings, "backbone">,
  images: Tensor,
  { normalise = byRunning, branchOf }: {
    readonly normalise?: Normalise;
    readonly branchOf?: (block: number) => Branch;
  } = {},
): Pyramid {
  if (images.shape.slice(1, 3).some((side) => side % 32 !== 0)) {
    throw new RangeError(
      `Cannot find things in images [${images.shape}]: the sides are no multiples of 32 pixels`,
    );
  }
  if (backbone.kind === "vitdet") {
    return vitdetBackboneMaps(params as VitdetBackboneParams, backbone, images, branchOf).pyramid;
  }
  const { bottom_up, ...fpn } = params as FpnParams & { bottom_up: WindowedBackboneParams };
  return featurePyramid(
    fpn as FpnParams,
    windowedBackboneMaps(bottom_up, backbone, images, branchOf),
    normalise,
  );
}

/** Anchors of each map of a pyramid, `[A, 4]`. */
export function anchorsOf(maps: readonly Pick<Tensor, "shape">[]): Float32Array<ArrayBuffer>[] {
  return maps.map(({ shape: [, H, W] }, i) => gridAnchors(PYRAMID_ANCHORS[i], [H, W]));
}

/** What the head of region proposals says of each map. */
export function proposalOutputs(
  { proposal_generator: { rpn_head } }: MaskRcnnParams,
  maps: Pyramid,
): AnchorOutputs[] {
  return rpnHead(rpn_head, maps);
}

/** Parts of the loss, whose sum is trained. */
export type MaskRcnnLosses = {
  readonly objectness: Tensor;
  readonly proposal: Tensor;
  readonly classification: Tensor;
  readonly box: Tensor;
  readonly mask: Tensor;
};

/** How a training step draws what it learns from. */
export interface TrainingRule {
  readonly proposals: ProposalRule;
  /** Anchors, and regions, of an image that count. */
  readonly anchors: SampleRule;
  readonly regions: SampleRule;
}

/** How BatchNorms of the heads are applied, by which of their rows count. */
export type NormaliseRows = (counts: Tensor) => Normalise;

/** The losses of the sampled regions and anchors. */
export function maskRcnnLosses(
  { roi_heads }: MaskRcnnParams,
  maps: Pyramid,
  outputs: readonly AnchorOutputs[],
  targets: readonly AnchorTargetTensors[],
  { boxes, masks }: TrainingRegions,
  { anchors }: Pick<TrainingRule, "anchors">,
  normaliseRows: NormaliseRows = () => byRunning,
): MaskRcnnLosses {
  const normaliseBy = (weights: Tensor) => normaliseRows(where(weights, 1, 0));
  const first = proposalLoss(outputs, targets, anchors.count);
  const regions = poolRegions(maps, boxes.regions, BOX_BINS);
  const hidden = boxHead(roi_heads.box_head, regions, normaliseBy(boxes.weights));
  const second = boxLoss(predictBoxes(roi_heads.box_predictor, hidden), boxes);
  const things = poolRegions(maps, masks.regions, MASK_BINS);
  const logits = maskHead(roi_heads.mask_head, things, normaliseBy(masks.weights));
  return {
    objectness: first.objectness,
    proposal: first.localisation,
    classification: second.classification,
    box: second.localisation,
    mask: maskLoss(logits, masks),
  };
}

/** The sum of the losses. */
export function sumOf({ objectness, proposal, classification, box, mask }: MaskRcnnLosses): Tensor {
  return [objectness, proposal, classification, box, mask].reduce((sum, part) => add(sum, part));
}

/** Things found in images, D slots an image; best first. */
export type FoundThings = {
  /** Left, top, right and bottom edge in pixels, `[N · D, 4]`. */
  readonly boxes: Tensor;
  /** `[N · D]`. */
  readonly scores: Tensor;
  /** u32; K where a slot is empty, `[N · D]`. */
  readonly classes: Tensor;
  /** Probabilities within the box, `[N · D, 28, 28]`. */
  readonly masks: Tensor;
};

/** Proposals that the box head takes in one go: as many as in training. */
const REGIONS_AT_ONCE = 512;

/** What counts as a thing at evaluation. */
export interface EvaluationRule {
  readonly proposals: ProposalRule;
  readonly instances: InstanceRule;
}

/**
 * Finds things. A plan of it runs by `runAsync`.
 *
 * @param images `[N, H, W, 3]`.
 * @param filled Height and width that each image fills, `[N, 2]`.
 */
export function detectThings(
  params: MaskRcnnParams,
  settings: MaskRcnnSettings,
  images: Tensor,
  filled: Tensor,
  rule: EvaluationRule,
): FoundThings {
  const { roi_heads: { box_head, box_predictor, mask_head } } = params;
  const maps = maskRcnnMaps(params, settings, images);
  const proposed = evaluationRegions(proposalOutputs(params, maps), anchorsOf(maps), filled, rule);
  const [slots] = proposed.boxes.shape;
  const hidden = partsOf(slots, Math.ceil(slots / REGIONS_AT_ONCE)).map(([start, end]) => {
    const regions = proposed.regions.map((rows) => slice(rows, 0, start, end));
    return boxHead(box_head, poolRegions(maps, regions, BOX_BINS), byRunning);
  });
  const { logits, deltas } = predictBoxes(box_predictor, concat(hidden, 0));
  const found = foundThings(proposed, softmax(logits), deltas, filled, rule);
  const things = poolRegions(maps, found.regions, MASK_BINS);
  const masks = maskProbabilities(maskHead(mask_head, things, byRunning), found.classes);
  const { boxes, scores, classes } = found;
  return { boxes, scores, classes, masks };
}
