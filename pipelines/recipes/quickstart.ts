/**
 * A tiny MCMAE on the bundled photos: two CPU cores finish in about three minutes.
 *
 *     deno task pretrain
 *
 * Expect a falling loss and blurred, recognisable photos; nothing here transfers to other images.
 */
import type { Recipe } from "../recipe.ts";
import { mcmae, pretraining } from "./imagenet.ts";

export const quickstart: Recipe = {
  ...pretraining,
  name: "quickstart",
  source: "MCMAE-B, shrunk until it trains on two CPU cores",
  model: {
    ...mcmae,
    imageSize: [96, 96],
    embedDims: [32, 64, 128],
    depths: [1, 1, 4],
    mlpRatios: [4, 4, 4],
    heads: 4,
    decoderDim: 96,
    decoderDepth: 2,
    decoderHeads: 4,
  },
  data: { ...pretraining.data, source: "photos", workers: 1 },
  batch: { micro: 16, effective: 16 },
  optimizer: {
    ...pretraining.optimizer,
    blr: 2.4e-2, // 1.5e-3 at 16: few updates, so a far higher rate than the paper's
  },
  schedule: { epochs: 30, warmupEpochs: 3, steps: null }, // 128 photos: 8 updates an epoch
  checkpoint: { every: 100 },
};
