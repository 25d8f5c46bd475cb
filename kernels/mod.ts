/**
 * The typed binding of every kernel: its text, what it does with each operand, and the names of
 * its constants. A test reads the shaders and holds these lists against them.
 *
 * @module
 */
import attention from "./attention.wgsl" with { type: "text" };
import attentionGradKey from "./attention_grad_key.wgsl" with { type: "text" };
import attentionGradQuery from "./attention_grad_query.wgsl" with { type: "text" };
import crossEntropy from "./cross_entropy.wgsl" with { type: "text" };
import depthwise from "./depthwise.wgsl" with { type: "text" };
import depthwiseGrad from "./depthwise_grad.wgsl" with { type: "text" };
import depthwiseGradTile from "./depthwise_grad_tile.wgsl" with { type: "text" };
import depthwiseTile from "./depthwise_tile.wgsl" with { type: "text" };
import gather from "./gather.wgsl" with { type: "text" };
import labelCrossEntropy from "./label_cross_entropy.wgsl" with { type: "text" };
import labelCrossEntropyGrad from "./label_cross_entropy_grad.wgsl" with { type: "text" };
import layerNorm from "./layer_norm.wgsl" with { type: "text" };
import layerNormBroadcast from "./layer_norm_broadcast.wgsl" with { type: "text" };
import layerNormGrad from "./layer_norm_grad.wgsl" with { type: "text" };
import layerNormGradBroadcast from "./layer_norm_grad_broadcast.wgsl" with { type: "text" };
import layerNormGradGain from "./layer_norm_grad_gain.wgsl" with { type: "text" };
import layerNormGradWorkgroup from "./layer_norm_grad_workgroup.wgsl" with { type: "text" };
import layerNormWorkgroup from "./layer_norm_workgroup.wgsl" with { type: "text" };
import map from "./map.wgsl" with { type: "text" };
import maskedDepthwise from "./masked_depthwise.wgsl" with { type: "text" };
import maskedDepthwiseGrad from "./masked_depthwise_grad.wgsl" with { type: "text" };
import matmul from "./matmul.wgsl" with { type: "text" };
import matmulBroadcast from "./matmul_broadcast.wgsl" with { type: "text" };
import matmulBroadcastNarrow from "./matmul_broadcast_narrow.wgsl" with { type: "text" };
import matmulTile from "./matmul_tile.wgsl" with { type: "text" };
import matmulTileFours from "./matmul_tile_fours.wgsl" with { type: "text" };
import matmulTileLarge from "./matmul_tile_large.wgsl" with { type: "text" };
import maxPool from "./max_pool.wgsl" with { type: "text" };
import maxPoolGrad from "./max_pool_grad.wgsl" with { type: "text" };
import permute from "./permute.wgsl" with { type: "text" };
import pick from "./pick.wgsl" with { type: "text" };
import pickGrad from "./pick_grad.wgsl" with { type: "text" };
import reduce from "./reduce.wgsl" with { type: "text" };
import relativeBiasGrad from "./relative_bias_grad.wgsl" with { type: "text" };
import resample from "./resample.wgsl" with { type: "text" };
import roiAlign from "./roi_align.wgsl" with { type: "text" };
import roiAlignGrad from "./roi_align_grad.wgsl" with { type: "text" };
import roiAlignTiles from "./roi_align_tiles.wgsl" with { type: "text" };
import scoreBias from "./score_bias.wgsl" with { type: "text" };
import scoreRegions from "./score_regions.wgsl" with { type: "text" };
import scoreSums from "./score_sums.wgsl" with { type: "text" };
import shift from "./shift.wgsl" with { type: "text" };
import softmax from "./softmax.wgsl" with { type: "text" };
import softmaxGrad from "./softmax_grad.wgsl" with { type: "text" };
import softmaxGradWorkgroup from "./softmax_grad_workgroup.wgsl" with { type: "text" };
import softmaxWorkgroup from "./softmax_workgroup.wgsl" with { type: "text" };
import window from "./window.wgsl" with { type: "text" };

/** What a kernel does with an operand. */
export type Access = "read" | "read_write";

/** A shader and what a dispatch of it must bind. */
export interface Kernel<Constant extends string = string> {
  readonly source: string;
  /** One entry a binding, in order. */
  readonly access: readonly Access[];
  /** Names of the `override` constants. */
  readonly constants: readonly Constant[];
}

/** `reads` operands to read, then one to write for each of `writes`. */
function kernel<const Constant extends string>(
  source: string,
  reads: number,
  writes: number,
  constants: readonly Constant[],
): Kernel<Constant> {
  const access = [
    ...Array<Access>(reads).fill("read"),
    ...Array<Access>(writes).fill("read_write"),
  ];
  return { source, access, constants };
}

const product = [
  ...["M", "N", "K", "inner", "scale"] as const,
  ...["transposeA", "offsetA", "rowA", "outerA", "innerA"] as const,
  ...["transposeB", "offsetB", "rowB", "outerB", "innerB"] as const,
  ...["offsetC", "rowC", "outerC", "innerC"] as const,
] as const;

/** Every kernel by name. */
export const kernels = {
  attention: kernel(attention, 1, 2, ["L", "heads", "D", "lanes", "scale"]),
  attentionGradKey: kernel(attentionGradKey, 4, 1, ["L", "heads", "D", "lanes", "scale"]),
  attentionGradQuery: kernel(attentionGradQuery, 4, 2, ["L", "heads", "D", "lanes", "scale"]),
  crossEntropy: kernel(crossEntropy, 2, 2, ["C", "rows"]),
  depthwise: kernel(depthwise, 3, 1, ["S", "H", "W", "C", "kt", "k", "flip", "size"]),
  depthwiseGrad: kernel(
    depthwiseGrad,
    2,
    2,
    ["S", "H", "W", "C", "kt", "k", "rows", "chunk", "size"],
  ),
  depthwiseGradTile: kernel(
    depthwiseGradTile,
    2,
    2,
    ["S", "H", "W", "C", "kt", "k", "rows", "chunk", "size"],
  ),
  depthwiseTile: kernel(depthwiseTile, 3, 1, ["S", "H", "W", "C", "kt", "k", "flip", "size"]),
  gather: kernel(gather, 2, 1, ["L", "K", "C", "size"]),
  labelCrossEntropy: kernel(labelCrossEntropy, 2, 2, ["C", "rows"]),
  labelCrossEntropyGrad: kernel(labelCrossEntropyGrad, 4, 1, ["C", "size"]),
  layerNorm: kernel(layerNorm, 3, 2, ["C", "lanes", "rows", "eps"]),
  layerNormBroadcast: kernel(layerNormBroadcast, 3, 2, ["C", "lanes", "rows", "chunk", "eps"]),
  layerNormGrad: kernel(layerNormGrad, 4, 1, ["C", "lanes", "rows"]),
  layerNormGradBroadcast: kernel(layerNormGradBroadcast, 4, 2, ["C", "lanes", "rows", "chunk"]),
  layerNormGradGain: kernel(layerNormGradGain, 3, 1, ["C", "rows", "chunk", "size"]),
  layerNormGradWorkgroup: kernel(
    layerNormGradWorkgroup,
    4,
    2,
    ["C", "lanes", "rows", "chunk", "team", "size"],
  ),
  layerNormWorkgroup: kernel(
    layerNormWorkgroup,
    3,
    2,
    ["C", "lanes", "rows", "team", "size", "eps"],
  ),
  map: kernel(map, 1, 1, ["size"]),
  maskedDepthwise: kernel(
    maskedDepthwise,
    5,
    1,
    ["V", "s", "C", "S", "GH", "GW", "kt", "k", "flip", "size"],
  ),
  maskedDepthwiseGrad: kernel(
    maskedDepthwiseGrad,
    4,
    2,
    ["V", "s", "C", "S", "GH", "GW", "kt", "k", "blocks", "chunk", "size"],
  ),
  matmul: kernel(matmul, 2, 1, product),
  matmulBroadcast: kernel(matmulBroadcast, 2, 1, product),
  matmulBroadcastNarrow: kernel(matmulBroadcastNarrow, 2, 1, product),
  matmulTile: kernel(matmulTile, 2, 1, product),
  matmulTileFours: kernel(matmulTileFours, 2, 1, product),
  matmulTileLarge: kernel(matmulTileLarge, 2, 1, product),
  maxPool: kernel(maxPool, 1, 1, ["H", "W", "C", "YH", "YW", "side", "stride", "size"]),
  maxPoolGrad: kernel(maxPoolGrad, 2, 1, ["H", "W", "C", "YH", "YW", "side", "stride", "size"]),
  permute: kernel(
    permute,
    1,
    1,
    ["d1", "d2", "d3", "d4", "d5", "s0", "s1", "s2", "s3", "s4", "s5", "size"],
  ),
  pick: kernel(pick, 2, 1, ["P", "K", "inner", "size"]),
  pickGrad: kernel(pickGrad, 2, 1, ["P", "K", "inner", "size"]),
  reduce: kernel(
    reduce,
    1,
    1,
    ["R", "inner", "chunk", "chunks", "apart", "step", "squares", "size"],
  ),
  relativeBiasGrad: kernel(
    relativeBiasGrad,
    1,
    1,
    ["H", "W", "row", "heads", "first", "abreast", "samples", "more"],
  ),
  resample: kernel(resample, 3, 1, ["X", "Y", "inner", "T", "size"]),
  roiAlign: kernel(
    roiAlign,
    2,
    1,
    ["H", "W", "C", "bins", "samples", "scale", "aligned", "size"],
  ),
  roiAlignGrad: kernel(
    roiAlignGrad,
    3,
    1,
    ["H", "W", "C", "bins", "samples", "scale", "aligned", "side", "words", "size"],
  ),
  roiAlignTiles: kernel(
    roiAlignTiles,
    1,
    1,
    ["R", "H", "W", "side", "words", "samples", "scale", "aligned", "size"],
  ),
  scoreBias: kernel(
    scoreBias,
    1,
    1,
    ["H", "W", "row", "heads", "offset", "outer", "inner", "h", "w", "i", "j", "size"],
  ),
  scoreRegions: kernel(scoreRegions, 1, 1, ["L", "row", "heads", "first", "M", "size"]),
  scoreSums: kernel(scoreSums, 1, 1, ["A", "R", "apart", "step", "row", "offset", "size"]),
  shift: kernel(shift, 1, 1, ["X", "Y", "inner", "offset", "size"]),
  softmax: kernel(softmax, 1, 1, ["C", "stride", "rows"]),
  softmaxGrad: kernel(softmaxGrad, 2, 1, ["C", "stride", "rows"]),
  softmaxGradWorkgroup: kernel(softmaxGradWorkgroup, 2, 1, ["C", "stride", "rows"]),
  softmaxWorkgroup: kernel(softmaxWorkgroup, 1, 1, ["C", "stride", "rows"]),
  window: kernel(
    window,
    1,
    1,
    ["N", "XH", "XW", "C", "YH", "YW", "slabs", "top", "left", "apart", "step", "size"],
  ),
} as const;

export type KernelName = keyof typeof kernels;

/** Names of the constants that a dispatch of kernel K must give. */
export type ConstantOf<K extends KernelName> = (typeof kernels)[K]["constants"][number];
