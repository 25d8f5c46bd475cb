/**
 * A tiny MCMAE on Fashion-MNIST (arXiv:1708.07747): 60 000 grey images of 28 × 28 pixels.
 *
 *     apt-get install dataset-fashion-mnist        # or --data DIR with the four idx.gz files
 *     deno task pretrain fashion_mnist
 *
 * Patch sizes 2, 2, 1 give a stride of 4, so that 7 × 7 tokens are left to mask.
 */
import type { Recipe } from "../recipe.ts";
import { autoencoder, mcmae, pretraining } from "./imagenet.ts";

export const fashionMnist: Recipe = {
  ...pretraining,
  name: "fashion_mnist",
  source: "MCMAE-B, shrunk to 28 × 28 grey pixels",
  model: {
    ...mcmae,
    imageSize: [28, 28],
    channels: 1,
    patchSizes: [2, 2, 1],
    embedDims: [16, 32, 64],
    depths: [1, 1, 2],
    mlpRatios: [2, 2, 2],
    heads: 2,
    decoderDim: 32,
    decoderDepth: 1,
    decoderHeads: 1,
    normPix: false, // patches of 16 pixels are mostly flat: normalising makes their noise the target
  },
  data: {
    ...pretraining.data,
    path: "/usr/share/datasets/fashion-mnist", // Debian's package
    valShare: 0.08, // of the training images: the 10 000 for a test stay unseen
    crop: { scale: [0.6, 1], flip: true },
    mean: [0.286],
    std: [0.353],
    workers: 1,
  },
  batch: { micro: 128, effective: 128 },
  optimizer: { ...pretraining.optimizer, blr: 4e-3 },
  schedule: { epochs: 20, warmupEpochs: 1, steps: null }, // 432 updates an epoch
  checkpoint: { every: 500, keep: 2 },
  report: { every: 1000, images: 6 },
};

/**
 * MAE with a ViT of about as many parameters, the baseline: patches of 4 give the same 7 × 7 tokens.
 *
 *     deno task pretrain fashion_mnist_mae
 */
export const fashionMnistMae: Recipe = {
  ...fashionMnist,
  name: "fashion_mnist_mae",
  source: "MAE, shrunk to 28 × 28 grey pixels",
  model: {
    ...autoencoder,
    kind: "mae",
    imageSize: [28, 28],
    channels: 1,
    patchSize: 4,
    embedDim: 60,
    depth: 3,
    mlpRatio: 2,
    heads: 3,
    decoderDim: 32,
    decoderDepth: 1,
    decoderHeads: 1,
    normPix: fashionMnist.model.normPix,
  },
};
