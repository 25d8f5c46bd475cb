/**
 * MCMAE-H on ImageNet-1K: 679 M parameters in the encoder (the paper counts 666), 800 epochs.
 *
 *     deno task pretrain mcmae_huge --data imagenet/train
 *
 * Paper: no result is given (Table 8: N/A; MAE-H at 1600 epochs: 86.9 %).
 */
import type { Recipe } from "../recipe.ts";
import { mcmae, pretraining } from "./imagenet.ts";

export const mcmaeHuge: Recipe = {
  ...pretraining,
  name: "mcmae_huge",
  source: "arXiv:2205.03892, Table 7, MCMAE-H; 3.1 for the optimizer; the epochs of L",
  model: {
    ...mcmae,
    embedDims: [768, 1024, 1280],
    depths: [2, 2, 31],
    mlpRatios: [8, 8, 4],
    heads: 16,
  },
  batch: { ...pretraining.batch, micro: 16 },
};
