/** Recipes of fine-tuning on clips. */
import type { VideoFinetunePreset } from "../video/finetune_recipe.ts";
import { finetuneImagenet } from "./finetune.ts";
import { videomcmaeBaseK400, videomcmaeBaseSsv2 } from "./video.ts";

/**
 * Fine-tuning on Kinetics-400 as VideoMAE (arXiv:2203.12602) does it.
 *
 *     deno task finetune video_finetune_k400 --checkpoint F --data k400/train.csv \
 *       data.valPath=k400/val.csv
 *
 * Paper (Figure 3): 80.1 % after 200 epochs of pretraining, 81.7 % after 800, 82.7 % with the
 * multi-scale decoder.
 */
export const videoFinetuneK400: VideoFinetunePreset = {
  ...finetuneImagenet,
  name: "video_finetune_k400",
  source: "arXiv:2205.03892, 3.4; the rest is VideoMAE's",
  data: {
    ...videomcmaeBaseK400.data,
    shortSide: 320, // as K400 is kept, so that crops are made of the originals
    crop: { kind: "random-resized", scale: [0.08, 1], flip: true },
    still: false,
  },
  batch: {
    micro: 8, // views: 4 videos
    effective: 512, // videos; 8 a GPU × 64 GPUs
  },
  optimizer: { ...finetuneImagenet.optimizer, layerDecay: 0.75 },
  schedule: { epochs: 75, warmupEpochs: 5, steps: null },
  augment: {
    randAugment: "rand-m7-n4-mstd0.5-inc1",
    eraseProbability: 0.25,
    eraseMode: "pixel",
    repeats: 2,
  },
  paper: {
    top1: 0.827,
    where: "Figure 3, 800 epochs with the multi-scale decoder; 0.817 without it, 0.801 after 200",
  },
};

/**
 * Fine-tuning on Something-Something V2: segments, and no flips, since classes tell left from right.
 *
 *     deno task finetune video_finetune_ssv2 --checkpoint F --data ssv2/train.json \
 *       data.root=ssv2/videos data.valPath=ssv2/validation.json
 *
 * Paper (Figure 3): 67.7 % after 200 epochs of pretraining, 69.9 % after 800, 70.7 % with the
 * multi-scale decoder.
 */
export const videoFinetuneSsv2: VideoFinetunePreset = {
  ...videoFinetuneK400,
  name: "video_finetune_ssv2",
  data: {
    ...videomcmaeBaseSsv2.data,
    sampling: "segments",
    shortSide: 320,
    crop: { ...videoFinetuneK400.data.crop, flip: false },
    still: false,
  },
  schedule: { epochs: 50, warmupEpochs: 5, steps: null },
  paper: {
    top1: 0.707,
    where: "Figure 3, 800 epochs with the multi-scale decoder; 0.699 without it, 0.677 after 200",
  },
};

/**
 * Fine-tuning on one's own clips: small batches, little augmentation, 20 epochs.
 *
 *     deno task finetune video_finetune --checkpoint runs/video_quickstart/checkpoint.safetensors \
 *       --data DIR
 */
export const videoFinetune: VideoFinetunePreset = {
  ...videoFinetuneK400,
  name: "video_finetune",
  source: "video_finetune_k400, with small batches, without flips and mixing",
  data: {
    ...videoFinetuneK400.data,
    stride: 2,
    shortSide: 256,
    crop: { kind: "random-resized", scale: [0.5, 1], flip: false },
    workers: 2,
  },
  batch: { micro: 16, effective: 16 },
  optimizer: { ...videoFinetuneK400.optimizer, blr: 5e-3 },
  schedule: { epochs: 20, warmupEpochs: 2, steps: null },
  checkpoint: { every: 200, keep: 2 },
  report: { every: 500, images: 6 },
  augment: { ...videoFinetuneK400.augment, randAugment: null, eraseProbability: 0, repeats: 1 },
  mix: { ...videoFinetuneK400.mix, mixupAlpha: 0, cutmixAlpha: 0 },
  paper: null,
};

/**
 * The eight motions of `video_quickstart`.
 *
 *     deno task finetune video_finetune_motions \
 *       --checkpoint runs/video_quickstart/checkpoint.safetensors
 */
export const videoFinetuneMotions: VideoFinetunePreset = {
  ...videoFinetune,
  name: "video_finetune_motions",
  source: "video_finetune, for clips of 36 pixels",
  model: { ...videoFinetune.model, dropPath: 0 },
  data: {
    ...videoFinetune.data,
    path: "bundled:motions",
    shortSide: 36,
    crop: { ...videoFinetune.data.crop, scale: [0.55, 0.8] },
    workers: 1,
  },
  batch: { micro: 32, effective: 32 },
  optimizer: {
    ...videoFinetune.optimizer,
    blr: 8e-3, // 1e-3 at 32; at 3e-3 an encoder as drawn learns nothing
    clipNorm: 1,
    layerDecay: 1, // the motion is seen by the lowest layers, which shall learn it
  },
  schedule: { epochs: 60, warmupEpochs: 4, steps: null },
};

/** From the smallest to the largest. */
export const videoFinetuneRecipes: readonly VideoFinetunePreset[] = [
  videoFinetune,
  videoFinetuneMotions,
  videoFinetuneK400,
  videoFinetuneSsv2,
];
