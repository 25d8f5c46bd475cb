/**
 * MCMAE-B* on ImageNet-1K: B with twice the MLP ratio in stages 1 and 2, 88 M parameters, 800 epochs.
 *
 *     deno task pretrain mcmae_base_star --data imagenet/train
 *
 * Paper: 84.9 % after finetuning (Table 8; B at 800 epochs: 84.6 %).
 */
import type { Recipe } from "../recipe.ts";
import { mcmae, pretraining } from "./imagenet.ts";

export const mcmaeBaseStar: Recipe = {
  ...pretraining,
  name: "mcmae_base_star",
  source: "arXiv:2205.03892, Table 7, MCMAE-B*; 3.1 for the optimizer; Table 8 for the epochs",
  model: {
    ...mcmae,
    embedDims: [256, 384, 768],
    depths: [2, 2, 11],
    mlpRatios: [8, 8, 4],
    heads: 12,
  },
};
