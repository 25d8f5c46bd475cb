/** Recipes of linear probes. */
import type { ProbePreset } from "../probe_recipe.ts";
import { pretraining } from "./imagenet.ts";

/**
 * The published linear probe of MCMAE-B on ImageNet-1K: 90 epochs.
 *
 *     deno task eval linprobe linprobe_imagenet --checkpoint mcmae_base.pth --data imagenet
 *
 * Paper: 70.9 % after 1600 epochs of pretraining (Table 1).
 */
export const linprobeImagenet: ProbePreset = {
  name: "linprobe_imagenet",
  source: "MAE's main_linprobe.py, as the published multi-node command calls it",
  model: { pooling: "mean" }, // the multi-node command passes --global_pool, the other does not
  data: { ...pretraining.data, crop: { scale: [0.08, 1], flip: true }, cropPct: null },
  batch: {
    micro: 128,
    effective: 3072, // 128 per GPU × 24 GPUs
  },
  optimizer: {
    blr: 0.1,
    minLr: 0,
    momentum: 0.9,
    weightDecay: 0,
    clipNorm: null,
    rates: [],
    emaDecay: null,
  },
  schedule: { epochs: 90, warmupEpochs: 10, steps: null },
  checkpoint: { every: 1000, keep: 2 },
  faults: pretraining.faults,
  report: { every: 5000, images: 6 },
  seed: 0,
  paper: { top1: 0.709, where: "Table 1, MCMAE-B after 1600 epochs" },
};

/**
 * The same on one's own images, in batches of 64.
 *
 *     deno task eval linprobe --checkpoint runs/quickstart/checkpoint.safetensors --data DIR
 */
export const linprobe: ProbePreset = {
  ...linprobeImagenet,
  name: "linprobe",
  source: "linprobe_imagenet, with small batches",
  data: { ...linprobeImagenet.data, crop: { scale: [0.35, 1], flip: true }, workers: 2 },
  batch: { micro: 64, effective: 64 },
  optimizer: { ...linprobeImagenet.optimizer, blr: 1 },
  checkpoint: { every: 200, keep: 2 },
  report: { every: 500, images: 6 },
  paper: null,
};

/**
 * On cached features of Fashion-MNIST.
 *
 *     deno task eval linprobe linprobe_fashion --fast --checkpoint F
 */
export const linprobeFashion: ProbePreset = {
  ...linprobeImagenet,
  name: "linprobe_fashion",
  source: "linprobe_imagenet, for 28 × 28 grey pixels",
  data: {
    ...linprobeImagenet.data,
    path: "/usr/share/datasets/fashion-mnist", // Debian's package
    crop: { scale: [0.8, 1], flip: true },
    cropPct: 1,
    workers: 1,
  },
  batch: { micro: 256, effective: 1024 },
  optimizer: { ...linprobeImagenet.optimizer, blr: 2 }, // of 0.1, 0.4 and 2, on held-out training images
  schedule: { epochs: 30, warmupEpochs: 3, steps: null },
  checkpoint: { every: 200, keep: 2 },
  paper: null,
};
