/**
 * Pretraining on videos: sections 2.4 and 3.4 of arXiv:2205.03892 where they tell, else VideoMAE
 * (arXiv:2203.12602). No checkpoint and no code of VideoMCMAE were published.
 *
 *     deno task pretrain videomcmae_base_k400 --data k400/train.csv
 *     deno task pretrain videomcmae_base_ssv2 --data ssv2/train.json data.root=ssv2/videos
 *
 * Paper (Figure 3), top-1 after fine-tuning: K400 80.1 % at 200 epochs, 81.7 % at 800, 82.7 % with the
 * multi-scale decoder (VideoMAE 77.8 and 79.4 %); SSv2 67.7, 69.9 and 70.7 % (VideoMAE 66.1 and 69.3 %).
 */
import type { VideoModel, VideoRecipe } from "../video/recipe.ts";
import { pretraining } from "./imagenet.ts";

/** What both video models share: 16 frames, tubes of 90 %, VideoMAE's decoder. */
const clips = {
  imageSize: [224, 224],
  channels: 3,
  frames: 16,
  tubelet: 2,
  masking: "tube",
  normPix: true,
  decoderDim: 384,
  decoderDepth: 4,
  decoderHeads: 6,
} as const satisfies Partial<VideoModel>;

const videoMcmae = {
  ...clips,
  kind: "videomcmae",
  patchSizes: [4, 2, 2],
  depths: [2, 2, 11],
  mlpRatios: [4, 4, 4],
  decoderMlpRatio: 4,
  kernelSize: 5,
  temporalKernel: 5, // the paper does not tell; as long as the kernel is wide
  maskedConvolution: true,
  multiScaleDecoder: true,
  evaluation: "visible",
} as const satisfies Partial<VideoModel>;

const base = { ...videoMcmae, embedDims: [256, 384, 768], heads: 12 } as const;
const small = { ...videoMcmae, embedDims: [128, 256, 384], heads: 6 } as const;

const vitBase = {
  ...clips,
  kind: "videomae",
  patchSize: 16,
  embedDim: 768,
  depth: 12,
  mlpRatio: 4,
  heads: 12,
  initValues: 0,
} as const satisfies Partial<VideoModel>;

/** Kinetics-400: 16 frames, every fourth. */
const k400 = {
  ...pretraining,
  maskRatio: 0.9,
  data: {
    path: null,
    valPath: null,
    valShare: 0,
    root: null,
    cache: null,
    decoder: "node-av",
    sampling: "dense",
    stride: 4,
    shortSide: 240,
    crop: { kind: "multi-scale", scale: [0.5, 1], flip: false },
    mean: pretraining.data.mean,
    std: pretraining.data.std,
    workers: 8,
    maxBad: 100,
  },
  batch: { micro: 8, effective: 2048 },
  schedule: { epochs: 800, warmupEpochs: 40, steps: null },
  report: { every: 5000, images: 3 },
} as const satisfies Partial<VideoRecipe>;

/** Something-Something V2: every second frame. */
const ssv2 = { ...k400, data: { ...k400.data, stride: 2 } } as const;

const PAPER = "arXiv:2205.03892, 2.4 and 3.4: the image protocol, on VideoMAE's clips";
const VIDEOMAE = "arXiv:2203.12602, the baseline";

export const videomcmaeBaseK400: VideoRecipe = {
  ...{ ...k400, name: "videomcmae_base_k400", source: PAPER, model: base },
};
export const videomcmaeBaseSsv2: VideoRecipe = {
  ...{ ...ssv2, name: "videomcmae_base_ssv2", source: PAPER, model: base },
};
export const videomcmaeSmallK400: VideoRecipe = {
  ...{ ...k400, name: "videomcmae_small_k400", source: `${PAPER}; sizes of MCMAE-S`, model: small },
};
export const videomcmaeSmallSsv2: VideoRecipe = {
  ...{ ...ssv2, name: "videomcmae_small_ssv2", source: `${PAPER}; sizes of MCMAE-S`, model: small },
};
export const videomaeBaseK400: VideoRecipe = {
  ...{ ...k400, name: "videomae_base_k400", source: VIDEOMAE, model: vitBase },
};
export const videomaeBaseSsv2: VideoRecipe = {
  ...{ ...ssv2, name: "videomae_base_ssv2", source: VIDEOMAE, model: vitBase },
  schedule: { epochs: 2400, warmupEpochs: 40, steps: null },
};

/**
 * A tiny VideoMCMAE on clips of eight motions, made from the bundled photos.
 *
 *     deno task pretrain video_quickstart
 */
export const videoQuickstart: VideoRecipe = {
  ...k400,
  name: "video_quickstart",
  source: "VideoMCMAE-B, shrunk until it trains on two CPU cores",
  model: {
    ...videoMcmae,
    imageSize: [32, 32],
    frames: 4,
    patchSizes: [4, 2, 1], // a stride of 8: 4 × 4 cells in 2 time slots
    embedDims: [32, 32, 64],
    depths: [1, 1, 2],
    mlpRatios: [2, 2, 2],
    heads: 2,
    temporalKernel: 3,
    decoderDim: 64,
    decoderDepth: 1,
    decoderHeads: 1,
  },
  maskRatio: 0.75, // of 16 cells 4 stay; at 0.9 it would be 2
  data: {
    ...k400.data,
    path: "bundled:motions",
    stride: 2,
    shortSide: 36,
    workers: 1,
    crop: { ...k400.data.crop, kind: "random-resized", scale: [0.55, 0.8] },
  },
  batch: { micro: 32, effective: 32 },
  optimizer: { ...pretraining.optimizer, blr: 4e-3 }, // 5e-4 at 32: a hotter run leaves little to fine-tune
  schedule: { epochs: 20, warmupEpochs: 2, steps: null }, // 768 clips: 24 updates an epoch
  checkpoint: { every: 120, keep: 2 },
  report: { every: 120, images: 4 },
};

/** From the smallest to the largest, then the baseline. */
export const videoRecipes: readonly VideoRecipe[] = [
  videoQuickstart,
  videomcmaeSmallK400,
  videomcmaeSmallSsv2,
  videomcmaeBaseK400,
  videomcmaeBaseSsv2,
  videomaeBaseK400,
  videomaeBaseSsv2,
];
