/** Recipes of detection. */
import type { DetectPreset } from "../detect/recipe.ts";
import { finetuneImagenet } from "./finetune.ts";

/**
 * Mask R-CNN on MCMAE-B, as published for COCO: 25 epochs of 32 images.
 *
 *     deno task finetune maskrcnn_mcmae_base_coco --checkpoint mcmae_base.pth --data coco
 *
 * Paper: 53.2 AP of boxes, 47.1 of masks (Table 2). It says windows of 7 × 7 that are shifted; the
 * published code has windows of 16 × 16 that are not.
 */
export const maskRcnnCoco: DetectPreset = {
  name: "maskrcnn_mcmae_base_coco",
  source: "arXiv:2205.03892, 3.2, and DET/ of the published code",
  model: {
    ...{ imageSize: [1024, 1024], backbone: "windowed", globalBlocks: [0, 3, 6, 10] },
    ...{ windowSize: 16, shift: false, outChannels: 256, headWidth: 1024, rpnConvolutions: 2 },
    ...{ norm: "BN", dropPath: 0.1 },
  },
  data: {
    ...{ path: null, valPath: null, valShare: 0, cache: null, maxBad: 100, workers: 4 },
    ...{ mean: finetuneImagenet.data.mean, std: finetuneImagenet.data.std },
    ...{ jitter: [0.1, 2], shorter: [800], longer: 1024, flip: true, mostThings: 100 },
  },
  batch: { micro: 1, effective: 32 }, // 16 in the paper
  memory: finetuneImagenet.memory,
  sampling: { before: 2000, after: 1000, anchors: 256, regions: 512 },
  optimizer: {
    blr: 6.4e-4, // 8e-5 at 32
    minLr: 0,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0.1,
    clipNorm: null,
    rates: [],
    emaDecay: null,
  },
  schedule: {
    epochs: 92_187 * 32 / 117_266, // updates · batch / images with things
    warmupEpochs: 461 * 32 / 117_266, // 0.5 % of the updates
    steps: null,
  },
  checkpoint: { every: 3688, keep: 2 },
  faults: finetuneImagenet.faults,
  report: { every: 3688, images: 4 },
  seed: 0,
  published: {
    ...{ boxAP: 0.532, maskAP: 0.471, parameters: 104 },
    where: "Table 2, MCMAE-B after 1600 epochs",
  },
};

/**
 * Detection on one's own images: annotations in COCO's format.
 *
 *     deno task finetune detect --checkpoint runs/mine/checkpoint.safetensors --data DIR
 */
export const detect: DetectPreset = {
  ...maskRcnnCoco,
  name: "detect",
  source: "maskrcnn_mcmae_base_coco, with smaller images, batches and heads",
  model: {
    ...maskRcnnCoco.model,
    ...{ imageSize: [512, 512], outChannels: 128, headWidth: 512, norm: "LN" },
  },
  data: { ...maskRcnnCoco.data, valShare: 0.1, jitter: [0.5, 1.5], workers: 2 },
  batch: { micro: 1, effective: 8 },
  sampling: { before: 1000, after: 500, anchors: 256, regions: 128 },
  schedule: { epochs: 30, warmupEpochs: 1, steps: null },
  checkpoint: { every: 200, keep: 2 },
  report: { every: 400, images: 4 },
  published: null,
};

/**
 * Things before the bundled photos, outlined and named.
 *
 *     deno task setup:stamps
 *     deno task pretrain quickstart model.patchSizes=4,2,2 --out runs/stride16
 *     deno task finetune detect_quickstart --checkpoint runs/stride16/checkpoint.safetensors
 */
export const detectQuickstart: DetectPreset = {
  ...detect,
  name: "detect_quickstart",
  source: "detect, for scenes of 128 pixels",
  model: {
    ...detect.model,
    ...{ imageSize: [128, 128], globalBlocks: [0, 2], windowSize: 4 },
    ...{ outChannels: 32, headWidth: 128, rpnConvolutions: 1, dropPath: 0 },
  },
  data: {
    ...detect.data,
    ...{ path: "bundled:scenes", valShare: 0, jitter: [0.75, 1.25], mostThings: 4, workers: 1 },
  },
  batch: { micro: 2, effective: 2 },
  sampling: { before: 200, after: 64, anchors: 64, regions: 32 },
  optimizer: {
    ...detect.optimizer,
    ...{ blr: 0.256, weightDecay: 0.05, clipNorm: 1 }, // 2e-3 at 2
    rates: [["backbone.*", 0.5]],
  },
  schedule: { epochs: 4, warmupEpochs: 0.2, steps: null }, // 1200 scenes: 600 updates an epoch
  checkpoint: { every: 600, keep: 2 },
  report: { every: 600, images: 6 },
};

/** From the smallest to the largest. */
export const detectRecipes: readonly DetectPreset[] = [
  detectQuickstart,
  detect,
  maskRcnnCoco,
];
