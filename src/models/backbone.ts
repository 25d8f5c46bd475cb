/**
 * MCMAE's encoder as a backbone of dense prediction: maps at strides 4, 8, 16 and 32 (arXiv:2205.03892,
 * 2.3), as the published segmentation code has it.
 *
 * @module
 */
import { type Affine, constant, initConvolution, type Initializer } from "../init.ts";
import { convolution } from "../ops/convolution.ts";
import { add, gelu } from "../ops/map.ts";
import { reshape } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";
import { type BatchNormParams, initBatchNorm, type Normalise } from "./batch_norm.ts";
import { stagesOf } from "./classifier.ts";
import { initMcmae, type McmaeSettings, strideOf } from "./mcmae.ts";
import { encodeImages, type McmaeStages } from "./mcmae_stages.ts";
import { gridOf } from "./patches.ts";
import { positionsFor, tableFor } from "./positions.ts";
import { type Branch, selfAttention } from "./transformer.ts";

/** eps of all LayerNorms; in pretraining the transformer's have 1e-6. */
const EPS = 1e-5;

/** What a backbone has besides the encoder. */
export interface BackboneSettings {
  readonly encoder: McmaeSettings;
  /** Tables of biases by relative position: none, one for all blocks, or one a block. */
  readonly relativePositions: "none" | "shared" | "blocks";
  /** First value of the gains on the transformer's branches (arXiv:2103.17239), if there are any. */
  readonly layerScale: number | null;
}

export type BackboneParams = McmaeStages & {
  readonly rel_pos_bias?: { readonly relative_position_bias_table: Tensor };
  /** What makes the map at stride 32. */
  readonly fpn: readonly [Affine, BatchNormParams];
};

/** Draws parameters: the encoder's as for pretraining; tables begin at zero. */
export function initBackbone(
  { encoder, relativePositions, layerScale }: BackboneSettings,
  draw: Initializer,
): BackboneParams {
  const { heads, embedDims: [, , C3] } = encoder;
  const [GH, GW] = gridOf(encoder.imageSize, strideOf(encoder));
  const stages = stagesOf(initMcmae(encoder, draw));
  const table = () => constant([(2 * GH - 1) * (2 * GW - 1), heads], 0);
  return {
    ...stages,
    blocks3: stages.blocks3.map((block) => ({
      ...layerScale !== null && {
        ...{ gamma_1: constant([C3], layerScale), gamma_2: constant([C3], layerScale) },
      },
      ...block,
      attn: {
        ...relativePositions === "blocks" && { relative_position_bias_table: table() },
        ...block.attn,
      },
    })),
    ...relativePositions === "shared" && {
      rel_pos_bias: { relative_position_bias_table: table() },
    },
    fpn: [initConvolution(draw, C3, C3, 3), initBatchNorm(C3)],
  };
}

/**
 * Maps of four scales. Images may be of another size than the model's: position embeddings and tables
 * are then interpolated (bicubic).
 *
 * @param images `[N, H, W, 3]`, H and W multiples of 16 and at least 48.
 * @param branchOf What becomes of the residual branches of block i, over all stages.
 * @returns E1 `[N, H/4, W/4, C1]`, E2 `[N, H/8, W/8, C2]`, E3 `[N, H/16, W/16, C3]`, and one of C3 by a
 *   convolution of E3 at stride 2 without padding. (H/4 and so on for patches of 4, 2 and 2.)
 * @throws {RangeError} If the images are too small.
 */
export function backboneMaps(
  params: BackboneParams,
  { encoder }: Pick<BackboneSettings, "encoder">,
  images: Tensor,
  normalise: Normalise,
  branchOf?: (block: number) => Branch,
): [e1: Tensor, e2: Tensor, e3: Tensor, e4: Tensor] {
  const stride = strideOf(encoder);
  const own = gridOf(encoder.imageSize, stride);
  const grid = gridOf(images.shape.slice(1, 3), stride);
  const [GH, GW] = grid;
  if (Math.min(...grid) < 3) {
    throw new RangeError(
      `Cannot make maps of images [${images.shape}]: a side has less than ${3 * stride} pixels`,
    );
  }
  const shared = params.rel_pos_bias?.relative_position_bias_table;
  const sized = (table: Tensor | undefined) => table && tableFor(table, own, grid);
  const sharedTable = sized(shared);
  const layers = encodeImages(
    { ...params, pos_embed: positionsFor(params.pos_embed, own, grid) },
    encoder,
    images,
    branchOf,
    (block) => {
      const own = sized(params.blocks3[block].attn.relative_position_bias_table);
      const table = own && sharedTable ? add(own, sharedTable) : own ?? sharedTable;
      return {
        eps: EPS,
        attend: (x, attn) => selfAttention(x, attn, encoder.heads, () => table && { grid, table }),
      };
    },
  );
  const last = (stage: 1 | 2 | 3) => layers[`blocks${stage}.${encoder.depths[stage - 1] - 1}`];
  const tokens = last(3);
  const e3 = reshape(tokens, [tokens.shape[0], GH, GW, tokens.shape[2]]);
  const [{ weight, bias }, bn] = params.fpn;
  const e4 = gelu(normalise(convolution(e3, weight, bias, { stride: 2 }), bn));
  return [last(1), last(2), e3, e4];
}
