/**
 * UPerNet's head (arXiv:1807.10221) and the auxiliary FCN head, as mmsegmentation has them, by its
 * names. Maps are `[N, H, W, C]`.
 *
 * @module
 */
import { type Affine, constant, type Initializer } from "../init.ts";
import { add } from "../ops/map.ts";
import { adaptiveAveragePool, resizeBilinear } from "../ops/resample.ts";
import type { Shape, Tensor } from "../tensor.ts";
import { type ConvModule, convModule, initConvModule, type Normalise } from "./batch_norm.ts";
import { affine } from "./transformer.ts";

/** Bins along a side of the pyramid's pooled maps. */
const POOL_SCALES = [1, 2, 3, 6] as const;

type Maps = readonly [Tensor, Tensor, Tensor, Tensor];

export type UperHeadParams = {
  readonly conv_seg: Affine;
  readonly psp_modules: readonly { readonly 1: ConvModule }[];
  readonly bottleneck: ConvModule;
  readonly lateral_convs: readonly ConvModule[];
  readonly fpn_convs: readonly ConvModule[];
  readonly fpn_bottleneck: ConvModule;
};

export type FcnHeadParams = {
  readonly conv_seg: Affine;
  readonly convs: readonly [ConvModule];
};

/** Channels of a head's maps and of its result. */
interface HeadSizes {
  readonly channels: number;
  readonly classes: number;
}

/** Draws the head for maps of these channels. */
export function initUperHead(
  draw: Initializer,
  inputs: readonly number[],
  { channels, classes }: HeadSizes,
): UperHeadParams {
  const deepest = inputs.at(-1)!;
  const lateral = inputs.slice(0, -1);
  return {
    conv_seg: initScores(draw, channels, classes),
    psp_modules: POOL_SCALES.map(() => ({ 1: initConvModule(draw, deepest, channels, 1) })),
    bottleneck: initConvModule(draw, deepest + POOL_SCALES.length * channels, channels, 3),
    lateral_convs: lateral.map((width) => initConvModule(draw, width, channels, 1)),
    fpn_convs: lateral.map(() => initConvModule(draw, channels, channels, 3)),
    fpn_bottleneck: initConvModule(draw, inputs.length * channels, channels, 3),
  };
}

/** Draws the auxiliary head. */
export function initFcnHead(
  draw: Initializer,
  inputs: number,
  { channels, classes }: HeadSizes,
): FcnHeadParams {
  return {
    conv_seg: initScores(draw, channels, classes),
    convs: [initConvModule(draw, inputs, channels, 3)],
  };
}

function initScores(draw: Initializer, channels: number, classes: number): Affine {
  return { weight: draw.normal([classes, channels, 1, 1], 0.01), bias: constant([classes], 0) };
}

/** How a head is applied. */
export interface HeadOptions {
  readonly normalise: Normalise;
  /** What becomes of the last map before scores are made of it: dropout, or nothing. */
  readonly drop?: (x: Tensor) => Tensor;
}

/**
 * Joins maps of four scales.
 *
 * @returns `logits`, at the first map's size `[N, H1, W1, K]`; the pooled pyramid's `psp`; `joined`, the
 *   map that the logits are made of.
 */
export function uperHead(
  params: UperHeadParams,
  maps: Maps,
  { normalise, drop = (x) => x }: HeadOptions,
): { readonly logits: Tensor; readonly psp: Tensor; readonly joined: Tensor } {
  const deepest = maps[3];
  const pooled = POOL_SCALES.map((bins, i) => {
    const scale = convModule(
      adaptiveAveragePool(deepest, bins),
      params.psp_modules[i][1],
      normalise,
    );
    return resizeBilinear(scale, sides(deepest));
  });
  const psp = convModule([deepest, ...pooled], params.bottleneck, normalise, { padding: 1 });
  const laterals = [
    ...params.lateral_convs.map((layer, i) => convModule(maps[i], layer, normalise)),
    psp,
  ];
  for (let i = laterals.length - 2; i >= 0; i--) {
    laterals[i] = add(laterals[i], resizeBilinear(laterals[i + 1], sides(laterals[i])));
  }
  const outputs = [
    ...params.fpn_convs.map((layer, i) =>
      convModule(laterals[i], layer, normalise, { padding: 1 })
    ),
    psp,
  ].map((map) => resizeBilinear(map, sides(laterals[0])));
  const joined = convModule(outputs, params.fpn_bottleneck, normalise, { padding: 1 });
  return { logits: affine(drop(joined), params.conv_seg), psp, joined };
}

/** The auxiliary head: `[N, H, W, C]` → logits `[N, H, W, K]`. */
export function fcnHead(
  { conv_seg, convs: [layer] }: FcnHeadParams,
  map: Tensor,
  { normalise, drop = (x) => x }: HeadOptions,
): Tensor {
  return affine(drop(convModule(map, layer, normalise, { padding: 1 })), conv_seg);
}

function sides({ shape }: { readonly shape: Shape }): [height: number, width: number] {
  return [shape[1], shape[2]];
}
