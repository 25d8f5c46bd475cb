/**
 * MCMAE-B on ImageNet-1K: 84 M parameters in the encoder, 1600 epochs.
 *
 *     deno task pretrain mcmae_base --data imagenet/train
 *
 * Paper: 85.0 % after finetuning, 70.9 % with a linear probe (Table 1).
 * Cost: about 68 GFLOP an image forward and backward (103 dense), so 1.4e20 FLOP in all. The published
 * code runs 154 images/s on one A6000 with mixed precision: 154 GPU-days.
 */
import type { Recipe } from "../recipe.ts";
import { mcmae, pretraining } from "./imagenet.ts";

export const mcmaeBase: Recipe = {
  ...pretraining,
  name: "mcmae_base",
  source: "arXiv:2205.03892, Table 7, MCMAE-B; 3.1 for the optimizer and the epochs",
  model: {
    ...mcmae,
    embedDims: [256, 384, 768],
    depths: [2, 2, 11],
    mlpRatios: [4, 4, 4],
    heads: 12,
  },
  schedule: { ...pretraining.schedule, epochs: 1600 },
};
