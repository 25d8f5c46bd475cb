/** Recipes of fine-tuning. */
import type { FinetunePreset } from "../finetune_recipe.ts";
import { pretraining } from "./imagenet.ts";

/**
 * The published fine-tuning of MCMAE-B on ImageNet-1K: 100 epochs.
 *
 *     deno task finetune finetune_imagenet --checkpoint mcmae_base.pth --data imagenet
 *
 * Paper: 85.0 % after 1600 epochs of pretraining (Table 1), 84.6 % after 800 (Table 4).
 */
export const finetuneImagenet: FinetunePreset = {
  name: "finetune_imagenet",
  source: "arXiv:2205.03892, 3.1, and FINETUNE.md of the published code",
  model: { pooling: "mean", dropPath: 0.1 },
  data: { ...pretraining.data, crop: { scale: [0.08, 1], flip: true }, cropPct: null },
  batch: {
    micro: 32,
    effective: 1024, // 32 per GPU × 32 GPUs, or accumulated
  },
  memory: pretraining.memory,
  optimizer: {
    blr: 5e-4,
    minLr: 1e-6,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0.05,
    clipNorm: null,
    rates: [],
    emaDecay: null,
    layerDecay: 0.65, // the code's default is 0.75, the published command's 0.65
  },
  schedule: { epochs: 100, warmupEpochs: 5, steps: null },
  checkpoint: { every: 1000, keep: 2 },
  faults: pretraining.faults,
  report: { every: 5000, images: 6 },
  seed: 0,
  augment: {
    randAugment: "rand-m9-mstd0.5-inc1",
    colorJitter: 0, // RandAugment takes its place, as in timm
    eraseProbability: 0.25,
    eraseMode: "pixel",
    repeats: 1,
  },
  mix: {
    mode: "batch",
    mixupAlpha: 0.8,
    cutmixAlpha: 1,
    probability: 1,
    switchProbability: 0.5,
    smoothing: 0.1,
  },
  paper: { top1: 0.85, where: "Table 1, MCMAE-B after 1600 epochs" },
};

/**
 * Fine-tuning on one's own images: small batches, little augmentation, 20 epochs.
 *
 *     deno task finetune --checkpoint runs/quickstart/checkpoint.safetensors --data DIR
 */
export const finetune: FinetunePreset = {
  ...finetuneImagenet,
  name: "finetune",
  source: "finetune_imagenet, with small batches and without mixing",
  data: { ...finetuneImagenet.data, crop: { scale: [0.35, 1], flip: true }, workers: 2 },
  batch: { micro: 16, effective: 16 },
  optimizer: { ...finetuneImagenet.optimizer, blr: 5e-3, layerDecay: 0.75 },
  schedule: { epochs: 20, warmupEpochs: 2, steps: null },
  checkpoint: { every: 200, keep: 2 },
  report: { every: 500, images: 6 },
  augment: {
    ...finetuneImagenet.augment,
    randAugment: null,
    colorJitter: 0.2,
    eraseProbability: 0,
  },
  mix: { ...finetuneImagenet.mix, mixupAlpha: 0, cutmixAlpha: 0 },
  paper: null,
};

/**
 * Fine-tuning on Fashion-MNIST: 28 × 28 grey pixels, flips alone. All layers learn at one rate.
 *
 *     deno task finetune finetune_fashion --checkpoint F --data /usr/share/datasets/fashion-mnist
 */
export const finetuneFashion: FinetunePreset = {
  ...finetune,
  name: "finetune_fashion",
  source: "finetune, for 28 × 28 grey pixels",
  data: {
    ...finetune.data,
    path: "/usr/share/datasets/fashion-mnist", // Debian's package
    crop: { scale: [1, 1], flip: true },
    cropPct: 1,
    valShare: 0.08, // chooses best.safetensors, so that the test images stay unseen
    workers: 1,
  },
  batch: { micro: 128, effective: 128 },
  optimizer: { ...finetune.optimizer, blr: 6e-3, layerDecay: 1 },
  schedule: { epochs: 10, warmupEpochs: 0.5, steps: null },
  augment: { ...finetune.augment, colorJitter: 0 },
};
