/**
 * MCMAE's encoder as a backbone of detection, with tables of relative positions that blocks share
 * (arXiv:2205.03892, 2.3), by the names of the published code (`DET/models/convmae.py`).
 *
 * @module
 */
import { constant, type Initializer } from "../init.ts";
import { maxPool } from "../ops/max_pool.ts";
import { reshape } from "../ops/shape.ts";
import type { ScoreBias } from "../ops/score_bias.ts";
import type { Tensor } from "../tensor.ts";
import { stagesOf } from "./classifier.ts";
import { type DetectionBackboneSettings, gridsOf } from "./detection_backbone.ts";
import { initMcmae, strideOf } from "./mcmae.ts";
import { encodeImages, type McmaeStages } from "./mcmae_stages.ts";
import { gridOf } from "./patches.ts";
import { positionsFor, tableFor } from "./positions.ts";
import { type Branch, selfAttention } from "./transformer.ts";
import { merge, partition, regionsOf, windowsOf } from "./windows.ts";

export interface WindowedBackboneSettings extends DetectionBackboneSettings {
  /**
   * Whether the windows of every other windowed block lie half a window further, as the paper says
   * (arXiv:2103.14030); not in the published code.
   */
  readonly shift: boolean;
}

type SharedTable = { readonly relative_position_bias_table: Tensor };

export type WindowedBackboneParams = McmaeStages & {
  /** `[(2 · windowSize − 1)², heads]`. */
  readonly windowed_rel_pos_bias: SharedTable;
  /** `[(2GH − 1) · (2GW − 1), heads]`. */
  readonly global_rel_pos_bias: SharedTable;
};

/** Draws parameters: the encoder's as for pretraining; tables begin at zero. */
export function initWindowedBackbone(
  { encoder, imageSize, windowSize }: WindowedBackboneSettings,
  draw: Initializer,
): WindowedBackboneParams {
  const [GH, GW] = gridOf(imageSize, strideOf(encoder));
  const table = (rows: number) => ({
    relative_position_bias_table: constant([rows, encoder.heads], 0),
  });
  return {
    ...stagesOf(initMcmae(encoder, draw)),
    windowed_rel_pos_bias: table((2 * windowSize - 1) ** 2),
    global_rel_pos_bias: table((2 * GH - 1) * (2 * GW - 1)),
  };
}

/**
 * Maps of four scales. Images may be of another size than the model's: position embeddings and the table
 * of the global blocks are then interpolated (bicubic).
 *
 * @param images `[N, H, W, 3]`, H and W multiples of 16 and at least 32.
 * @param branchOf What becomes of the residual branches of block i, over all stages.
 * @returns E1 `[N, H/4, W/4, C1]`, E2 `[N, H/8, W/8, C2]`, E3 `[N, H/16, W/16, C3]` without a norm, and
 *   the largest of 2 × 2 cells of E3. (H/4 and so on for patches of 4, 2 and 2.)
 * @throws {RangeError} If tokens do not divide the images, or these are too small.
 */
export function windowedBackboneMaps(
  params: WindowedBackboneParams,
  settings: WindowedBackboneSettings,
  images: Tensor,
  branchOf?: (block: number) => Branch,
): [e1: Tensor, e2: Tensor, e3: Tensor, e4: Tensor] {
  const { encoder: { heads, depths }, windowSize: side, globalBlocks } = settings;
  const grids = gridsOf(settings, images.shape);
  const grid = grids.images;
  const globally: ScoreBias = {
    grid,
    table: tableFor(params.global_rel_pos_bias.relative_position_bias_table, grids.tables, grid),
  };
  const locally = [false, true].map((isShifted) => {
    const windows = windowsOf(grid, side, isShifted);
    const table = params.windowed_rel_pos_bias.relative_position_bias_table;
    const bias: ScoreBias = { grid: [side, side], table, regions: regionsOf(windows) };
    return { windows, bias };
  });
  const isGlobal = (block: number) => globalBlocks.includes(block);
  const layers = encodeImages(
    { ...params, pos_embed: positionsFor(params.pos_embed, grids.positions, grid) },
    { heads },
    images,
    branchOf,
    (block) => {
      if (isGlobal(block)) {
        return { attend: (x, attn) => selfAttention(x, attn, heads, () => globally) };
      }
      const before = Array.from({ length: block }, (_, i) => i).filter((i) => !isGlobal(i));
      const { windows, bias } = locally[settings.shift ? before.length % 2 : 0];
      return {
        attend: (x, attn) =>
          merge(selfAttention(partition(x, windows), attn, heads, () => bias), windows),
      };
    },
  );
  const last = (stage: 1 | 2 | 3) => layers[`blocks${stage}.${depths[stage - 1] - 1}`];
  const tokens = last(3);
  const e3 = reshape(tokens, [tokens.shape[0], ...grid, tokens.shape[2]]);
  return [last(1), last(2), e3, maxPool(e3, 2)];
}
