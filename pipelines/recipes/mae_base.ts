/**
 * MAE with ViT-B/16 on ImageNet-1K, the baseline: 86 M parameters in the encoder, 1600 epochs.
 *
 *     deno task pretrain mae_base --data imagenet/train
 *
 * Paper: 83.6 % after finetuning, 67.8 % with a linear probe (MCMAE's Table 1).
 * Cost: the published code runs 313 images/s on one A6000 with mixed precision: 76 GPU-days.
 */
import type { Recipe } from "../recipe.ts";
import { autoencoder, pretraining } from "./imagenet.ts";

export const maeBase: Recipe = {
  ...pretraining,
  name: "mae_base",
  source: "arXiv:2111.06377, Table 8; batch and epochs as mcmae_base",
  model: {
    ...autoencoder,
    kind: "mae",
    patchSize: 16,
    embedDim: 768,
    depth: 12,
    heads: 12,
    mlpRatio: 4,
  },
  batch: { ...pretraining.batch, micro: 128 },
  schedule: { ...pretraining.schedule, epochs: 1600 },
};
