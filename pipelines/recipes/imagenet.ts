/** What every ImageNet-1K recipe shares: 3.1 of arXiv:2205.03892 and MAE's pretraining. */
import type { AutoencoderSettings } from "../../src/models/decoder.ts";
import type { McmaeSettings } from "../../src/models/mcmae.ts";
import type { Recipe } from "../recipe.ts";

/** Input, decoder and target. */
export const autoencoder = {
  imageSize: [224, 224],
  channels: 3,
  decoderDim: 512,
  decoderDepth: 8,
  decoderHeads: 16, // the code's; the paper's 12 does not divide 512
  normPix: true, // the published command passes --norm_pix_loss
} as const satisfies Partial<AutoencoderSettings>;

/** What the sizes of Table 7 share. */
export const mcmae = {
  ...autoencoder,
  kind: "mcmae",
  patchSizes: [4, 2, 2],
  kernelSize: 5,
  maskedConvolution: true,
  masking: "block",
  multiScaleDecoder: true,
  evaluation: "visible",
} as const satisfies Partial<McmaeSettings>;

/** All but the model. */
export const pretraining = {
  maskRatio: 0.75, // the paper's "25 %" is the visible share
  data: {
    path: null,
    valPath: null,
    valShare: 0,
    cache: null,
    cacheSide: 256,
    crop: { scale: [0.2, 1], flip: true },
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
    workers: 8,
    maxBad: 100,
  },
  batch: {
    micro: 64,
    effective: 1024, // the published command: 3072 = 128 per GPU × 8 GPUs × 3 nodes
  },
  memory: { recompute: "none", activations: "f32" },
  optimizer: {
    blr: 1.5e-4, // 6e-4 at 1024
    minLr: 0,
    betas: [0.9, 0.95],
    eps: 1e-8,
    weightDecay: 0.05,
    clipNorm: null,
    rates: [],
    emaDecay: null,
  },
  schedule: { epochs: 800, warmupEpochs: 40, steps: null },
  checkpoint: { every: 1000, keep: 2 },
  faults: { policy: "stop", limit: 10 },
  report: { every: 5000, images: 6 },
  seed: 0,
} as const satisfies Partial<Recipe>;
