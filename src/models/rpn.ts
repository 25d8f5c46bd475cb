/**
 * Region proposals (arXiv:1506.01497), as detectron2 has them, by its names: `conv`,
 * `objectness_logits`, `anchor_deltas`. Maps are `[N, H, W, C]`.
 *
 * @module
 */
import { type Affine, constant, type Initializer } from "../init.ts";
import { binaryCrossEntropy } from "../ops/binary_cross_entropy.ts";
import { convolution } from "../ops/convolution.ts";
import { abs, add, mul, relu, sub } from "../ops/map.ts";
import { sum } from "../ops/reduce.ts";
import { reshape } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";
import { affine } from "./transformer.ts";

export type RpnHeadParams = {
  /** One convolution, or several one after the other: `conv0`, `conv1` … */
  readonly conv: Affine | { readonly [name: `conv${number}`]: Affine };
  readonly objectness_logits: Affine;
  readonly anchor_deltas: Affine;
};

/** What the head says of the anchors of a map, by row, column and anchor of the cell. */
export interface AnchorOutputs {
  /** Whether it is a thing, `[N, A]`. */
  readonly logits: Tensor;
  /** Where the thing is, `[N, A, 4]`. */
  readonly deltas: Tensor;
}

/** What it should say, see `anchorTargets`. */
export type AnchorTargetTensors = {
  /** 1 or 0, `[N, A]`. */
  readonly labels: Tensor;
  /** 1 where an anchor counts, else 0, `[N, A]`. */
  readonly weights: Tensor;
  /** `[N, A, 4]`. */
  readonly deltas: Tensor;
};

export type ProposalLoss = {
  readonly objectness: Tensor;
  readonly localisation: Tensor;
};

/**
 * Draws a head.
 *
 * @param anchors Of a cell.
 * @param convolutions One after the other.
 */
export function initRpnHead(
  draw: Initializer,
  channels: number,
  anchors: number,
  convolutions = 1,
): RpnHeadParams {
  const layer = (outputs: number, size: number): Affine => ({
    weight: draw.normal([outputs, channels, size, size], 0.01),
    bias: constant([outputs], 0),
  });
  const several = () =>
    Object.fromEntries(Array.from({ length: convolutions }, (_, i) => [
      `conv${i}`,
      layer(channels, 3),
    ]));
  return {
    conv: convolutions === 1 ? layer(channels, 3) : several(),
    objectness_logits: layer(anchors, 1),
    anchor_deltas: layer(4 * anchors, 1),
  };
}

/** The same head on every map. */
export function rpnHead(
  { conv, objectness_logits, anchor_deltas }: RpnHeadParams,
  maps: readonly Tensor[],
): AnchorOutputs[] {
  const layers = "weight" in conv ? [conv as Affine] : Object.values(conv);
  return maps.map((map) => {
    const [N] = map.shape;
    const hidden = layers.reduce(
      (x, { weight, bias }) => relu(convolution(x, weight, bias, { padding: 1 })),
      map,
    );
    const logits = affine(hidden, objectness_logits);
    const [, H, W, anchors] = logits.shape;
    const A = H * W * anchors;
    return {
      logits: reshape(logits, [N, A]),
      deltas: reshape(affine(hidden, anchor_deltas), [N, A, 4]),
    };
  });
}

/**
 * Binary cross entropy of the anchors that count, and L1 of the deltas of those on things.
 *
 * @param targets Of the same maps.
 * @param sampled Anchors of an image that count if there are enough; both sums are divided by as many
 *   for each image.
 */
export function proposalLoss(
  outputs: readonly AnchorOutputs[],
  targets: readonly AnchorTargetTensors[],
  sampled: number,
): ProposalLoss {
  const parts = outputs.map(({ logits, deltas }, i) => {
    const { labels, weights, deltas: expected } = targets[i];
    const things = mul(labels, weights);
    const distance = abs(sub(deltas, expected));
    return {
      objectness: sum(mul(binaryCrossEntropy(logits, labels), weights)),
      localisation: sum(mul(distance, reshape(things, [...things.shape, 1]))),
    };
  });
  const share = 1 / (sampled * outputs[0].logits.shape[0]);
  const total = (name: keyof ProposalLoss) =>
    mul(parts.map((part) => part[name]).reduce((a, b) => add(a, b)), share);
  return { objectness: total("objectness"), localisation: total("localisation") };
}
