/**
 * A tiny MCMAE on the bundled photos: two CPU cores finish in three to six minutes.
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
    imageSize: [80, 80],
    patchSizes: [4, 2, 1], // a stride of 8: 10 × 10 tokens, 25 of them visible
    embedDims: [64, 64, 128], // multiples of 64 suit the matmul kernels
    depths: [1, 1, 4],
    mlpRatios: [4, 4, 4],
    heads: 2,
    decoderDim: 64,
    decoderDepth: 2,
    decoderHeads: 1,
  },
  data: { ...pretraining.data, path: "bundled:photos", workers: 1 },
  batch: { micro: 16, effective: 16 },
  optimizer: {
    ...pretraining.optimizer,
    blr: 2.4e-2, // 1.5e-3 at 16: few updates, so a far higher rate than the paper's
  },
  schedule: { epochs: 36, warmupEpochs: 3, steps: null }, // 128 photos: 8 updates an epoch
  checkpoint: { every: 96, keep: 2 },
  report: { every: 48, images: 6 },
};
