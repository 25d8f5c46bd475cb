/**
 * MCMAE's encoder as a backbone of detection in the way of ViTDet (arXiv:2203.16527): relative positions
 * by rows and columns, and a pyramid of stage 3 alone, by the names of the second published code
 * (`projects/ConvMAEDet`).
 *
 * @module
 */
import { type Affine, constant, initConvolution, type Initializer, initNorm } from "../init.ts";
import { gelu } from "../ops/map.ts";
import { maxPool } from "../ops/max_pool.ts";
import { axisBias } from "../ops/relative_bias.ts";
import { reshape } from "../ops/shape.ts";
import { transposedConvolution } from "../ops/transposed_convolution.ts";
import type { Tensor } from "../tensor.ts";
import { byRunning } from "./batch_norm.ts";
import { stagesOf } from "./classifier.ts";
import { type DetectionBackboneSettings, gridsOf } from "./detection_backbone.ts";
import type { Pyramid } from "./fpn.ts";
import { initMcmae, strideOf } from "./mcmae.ts";
import { encodeImages, type McmaeStages } from "./mcmae_stages.ts";
import { type NormedConvolution, normedConvolution, withNorm } from "./normed_convolution.ts";
import { gridOf } from "./patches.ts";
import { type Grid, positionsFor } from "./positions.ts";
import { type BlockParams, type Branch, norm, selfAttention } from "./transformer.ts";
import { merge, partition, windowsOf } from "./windows.ts";

/** eps of all LayerNorms but the patch embeddings', which is 1e-5. */
const EPS = 1e-6;

export interface VitdetBackboneSettings extends DetectionBackboneSettings {
  /** Of every map of the pyramid. */
  readonly outChannels: number;
}

/** The layers of a scale, by their places in the published list. */
export type VitdetBackboneParams = {
  readonly net: McmaeStages;
  readonly simfp_2: {
    readonly 0: Affine; // transposed convolutions
    readonly 1: Affine; // a norm
    readonly 3: Affine;
    readonly 4: NormedConvolution;
    readonly 5: NormedConvolution;
  };
  readonly simfp_3: {
    readonly 0: Affine;
    readonly 1: NormedConvolution;
    readonly 2: NormedConvolution;
  };
  readonly simfp_4: { readonly 0: NormedConvolution; readonly 1: NormedConvolution };
  readonly simfp_5: { readonly 1: NormedConvolution; readonly 2: NormedConvolution };
};

/** Draws parameters: the encoder's as for pretraining, convolutions as PyTorch; tables begin at zero. */
export function initVitdetBackbone(
  { encoder, imageSize, globalBlocks, windowSize, outChannels }: VitdetBackboneSettings,
  draw: Initializer,
): VitdetBackboneParams {
  const { heads, embedDims: [, , C3] } = encoder;
  const grid = gridOf(imageSize, strideOf(encoder));
  const stages = stagesOf(initMcmae(encoder, draw));
  const table = (side: number) => constant([2 * side - 1, C3 / heads], 0);
  const blocks3 = stages.blocks3.map((block, i): BlockParams => {
    const [GH, GW] = globalBlocks.includes(i) ? grid : [windowSize, windowSize];
    return { ...block, attn: { rel_pos_h: table(GH), rel_pos_w: table(GW), ...block.attn } };
  });
  const enlarge = (inputs: number, outputs: number): Affine => {
    const { weight } = initConvolution(draw, outputs, inputs, 2);
    return { weight, bias: draw.uniform([outputs], 1 / Math.sqrt(4 * outputs)) };
  };
  const layer = (inputs: number, size: number) =>
    withNorm(initConvolution(draw, inputs, outChannels, size).weight, "LN");
  const join = (inputs: number) => [layer(inputs, 1), layer(outChannels, 3)] as const;
  const [half, quarter] = [C3 / 2, C3 / 4];
  const first = { 0: enlarge(C3, half), 1: initNorm(half), 3: enlarge(half, quarter) };
  const [pointwise2, joined2] = join(quarter);
  const second = enlarge(C3, half);
  const [pointwise3, joined3] = join(half);
  const [pointwise4, joined4] = join(C3);
  const [pointwise5, joined5] = join(C3);
  return {
    net: { ...stages, blocks3 },
    simfp_2: { ...first, 4: pointwise2, 5: joined2 },
    simfp_3: { 0: second, 1: pointwise3, 2: joined3 },
    simfp_4: { 0: pointwise4, 1: joined4 },
    simfp_5: { 1: pointwise5, 2: joined5 },
  };
}

/**
 * Stage 3's map and the pyramid of it. Images may be of another size than the model's: position embeddings
 * (bicubic) and tables (linear) are then interpolated.
 *
 * @param images `[N, H, W, 3]`, H and W multiples of 16 and at least 32.
 * @param branchOf What becomes of the residual branches of block i, over all stages.
 * @returns The map `[N, H/16, W/16, C3]`; five of `outChannels`, at strides 4, 8, 16, 32 and 64.
 * @throws {RangeError} If tokens do not divide the images, or these are too small.
 */
export function vitdetBackboneMaps(
  params: VitdetBackboneParams,
  settings: VitdetBackboneSettings,
  images: Tensor,
  branchOf?: (block: number) => Branch,
): { last: Tensor; pyramid: Pyramid } {
  const { encoder: { heads }, globalBlocks, windowSize: side } = settings;
  const { images: grid, positions } = gridsOf(settings, images.shape);
  const { net } = params;
  const windows = windowsOf(grid, side);
  const attendOn = (sides: Grid) => (x: Tensor, attn: BlockParams["attn"]) =>
    selfAttention(x, attn, heads, (qkv) => {
      const { rel_pos_h: rows, rel_pos_w: columns } = attn;
      return rows && columns && axisBias(qkv, heads, sides, { rows, columns });
    });
  const [globally, locally] = [attendOn(grid), attendOn([side, side])];
  const layers = encodeImages(
    { ...net, pos_embed: positionsFor(net.pos_embed, positions, grid) },
    { heads, convolutionEps: EPS },
    images,
    branchOf,
    (block) => ({
      eps: EPS,
      attend: globalBlocks.includes(block)
        ? globally
        : (x, attn) => merge(locally(partition(x, windows), attn), windows),
    }),
  );
  const tokens = layers[`blocks3.${net.blocks3.length - 1}`];
  const last = reshape(tokens, [tokens.shape[0], ...grid, tokens.shape[2]]);
  return { last, pyramid: simplePyramid(params, last) };
}

/** Maps of five scales from one (arXiv:2203.16527, section 3). */
export function simplePyramid(
  { simfp_2, simfp_3, simfp_4, simfp_5 }: Omit<VitdetBackboneParams, "net">,
  x: Tensor,
): Pyramid {
  const enlarge = (x: Tensor, { weight, bias }: Affine) => transposedConvolution(x, weight, bias);
  const join = (x: Tensor, pointwise: NormedConvolution, joined: NormedConvolution) =>
    normedConvolution(normedConvolution(x, pointwise, byRunning), joined, byRunning, {
      padding: 1,
    });
  const half = gelu(norm(enlarge(x, simfp_2[0]), simfp_2[1], EPS));
  const p5 = join(maxPool(x, 2), simfp_5[1], simfp_5[2]);
  return [
    join(enlarge(half, simfp_2[3]), simfp_2[4], simfp_2[5]),
    join(enlarge(x, simfp_3[0]), simfp_3[1], simfp_3[2]),
    join(x, simfp_4[0], simfp_4[1]),
    p5,
    maxPool(p5, 1, 2), // every second cell
  ];
}
