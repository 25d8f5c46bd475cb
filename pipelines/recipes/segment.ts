/** Recipes of segmentation. */
import type { SegmentPreset } from "../segment/recipe.ts";
import { finetuneImagenet } from "./finetune.ts";

/**
 * UPerNet on MCMAE-B, as published for ADE20K: 160 000 updates of 16 images.
 *
 *     deno task finetune upernet_mcmae_base_ade20k --checkpoint mcmae_base.pth --data ADEChallengeData2016
 *
 * Paper: 51.7 mIoU (Table 3). It says 16k updates; the published code makes 160k.
 */
export const upernetAde20k: SegmentPreset = {
  name: "upernet_mcmae_base_ade20k",
  source: "arXiv:2205.03892, 3.3, and SEG/ of the published code",
  model: {
    imageSize: [512, 512],
    relativePositions: "blocks",
    layerScale: 1,
    headChannels: 768, // of the config; 512 in the one that it is based on
    auxiliaryChannels: 256,
    dropout: 0.1,
    dropPath: 0.2,
  },
  data: {
    ...{ path: null, valPath: null, valShare: 0, cache: null, maxBad: 100, workers: 4 },
    ...{ mean: finetuneImagenet.data.mean, std: finetuneImagenet.data.std },
    ...{ classes: 150, ignoreIndex: 255, reduceZeroLabel: true },
    resize: { long: 2048, short: 512, ratio: [0.5, 2] },
    ...{ categoryShare: 0.75, flip: true, photometric: true },
  },
  batch: { micro: 2, effective: 16 },
  memory: finetuneImagenet.memory,
  optimizer: {
    blr: 1.6e-3, // 1e-4 at 16
    minLr: 0,
    betas: [0.9, 0.999],
    eps: 1e-8,
    weightDecay: 0.05,
    clipNorm: null,
    rates: [],
    emaDecay: null,
    layerDecay: 0.75,
    power: 1,
  },
  schedule: {
    epochs: 160_000 * 16 / 20_210, // updates · batch / images to train on
    warmupEpochs: 1500 * 16 / 20_210,
    steps: null,
  },
  checkpoint: { every: 8000, keep: 2 },
  faults: finetuneImagenet.faults,
  report: { every: 8000, images: 4 },
  seed: 0,
  published: { mIoU: 0.517, parameters: 153, where: "Table 3, MCMAE-B after 1600 epochs" },
};

/**
 * Segmentation of one's own images: `images/` and `masks/` with a number of a class a pixel.
 *
 *     deno task finetune segment --checkpoint runs/quickstart/checkpoint.safetensors --data DIR
 */
export const segment: SegmentPreset = {
  ...upernetAde20k,
  name: "segment",
  source: "upernet_mcmae_base_ade20k, with smaller images, batches and heads",
  model: {
    ...upernetAde20k.model,
    ...{ imageSize: [224, 224], relativePositions: "none", layerScale: null },
    ...{ headChannels: 128, auxiliaryChannels: 64, dropPath: 0.1 },
  },
  data: {
    ...upernetAde20k.data,
    ...{ valShare: 0.1, classes: null, reduceZeroLabel: false, workers: 2 },
    resize: { long: null, short: null, ratio: [0.5, 2] },
  },
  batch: { micro: 4, effective: 16 },
  schedule: { epochs: 50, warmupEpochs: 2, steps: null },
  checkpoint: { every: 200, keep: 2 },
  report: { every: 400, images: 4 },
  published: null,
};

/**
 * Things before the bundled photos, told from what is behind them.
 *
 *     deno task setup:stamps
 *     deno task pretrain
 *     deno task finetune segment_quickstart --checkpoint runs/quickstart/checkpoint.safetensors
 */
export const segmentQuickstart: SegmentPreset = {
  ...segment,
  name: "segment_quickstart",
  source: "segment, for scenes of 128 pixels",
  model: {
    ...segment.model,
    ...{ imageSize: [80, 80], headChannels: 32, auxiliaryChannels: 32 },
    ...{ dropout: 0, dropPath: 0 },
  },
  data: {
    ...segment.data,
    ...{ path: "bundled:scenes", valShare: 0, workers: 1, classes: 2, photometric: false },
    resize: { long: null, short: null, ratio: [0.625, 1.25] },
    categoryShare: 1,
  },
  batch: { micro: 4, effective: 4 },
  optimizer: {
    ...segment.optimizer,
    blr: 0.64, // 1e-2 at 4: few updates, so a far higher rate than the paper's
    rates: [["backbone.*", 0.3]],
    layerDecay: 1,
    clipNorm: 1,
  },
  schedule: { epochs: 12, warmupEpochs: 0.2, steps: null }, // 1200 scenes: 300 updates an epoch
  checkpoint: { every: 600, keep: 2 },
  report: { every: 1200, images: 6 },
};

/** From the smallest to the largest. */
export const segmentRecipes: readonly SegmentPreset[] = [segmentQuickstart, segment, upernetAde20k];
