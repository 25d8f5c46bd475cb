/**
 * MCMAE-L on ImageNet-1K: 322 M parameters in the encoder, 800 epochs.
 *
 *     deno task pretrain mcmae_large --data imagenet/train
 *
 * Paper: 86.2 % after finetuning (Table 8; MAE-L at 1600 epochs: 85.9 %).
 */
import type { Recipe } from "../recipe.ts";
import { mcmae, pretraining } from "./imagenet.ts";

export const mcmaeLarge: Recipe = {
  ...pretraining,
  name: "mcmae_large",
  source: "arXiv:2205.03892, Table 7, MCMAE-L; 3.1 for the optimizer; Table 8 for the epochs",
  model: {
    ...mcmae,
    embedDims: [384, 768, 1024],
    depths: [2, 2, 23],
    mlpRatios: [8, 8, 4],
    heads: 16,
  },
  batch: { ...pretraining.batch, micro: 32 },
};
