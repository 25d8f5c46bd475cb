/**
 * MCMAE-S on ImageNet-1K: 22 M parameters in the encoder, 800 epochs.
 *
 *     deno task pretrain mcmae_small --data imagenet/train
 *
 * Paper: 82.6 % after finetuning (Table 8; MAE-S at 1600 epochs: 79.5 %).
 */
import type { Recipe } from "../recipe.ts";
import { mcmae, pretraining } from "./imagenet.ts";

export const mcmaeSmall: Recipe = {
  ...pretraining,
  name: "mcmae_small",
  source: "arXiv:2205.03892, Table 7, MCMAE-S; 3.1 for the optimizer; Table 8 for the epochs",
  model: {
    ...mcmae,
    embedDims: [128, 256, 384],
    depths: [2, 2, 11],
    mlpRatios: [4, 4, 4],
    heads: 6,
  },
  batch: { ...pretraining.batch, micro: 128 },
};
