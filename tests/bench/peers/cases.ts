/** What is measured, as plain data: our own bench reads it as well as the peers. */
import type { McmaeSettings } from "../../../src/models/mcmae.ts";

/** A product c[M, N] = op(a) op(b) over K. */
export interface Product {
  readonly name: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** a is given as `[K, M]`. */
  readonly transposeA: boolean;
  /** b is given as `[N, K]`. */
  readonly transposeB: boolean;
}

const LAYOUTS = [
  { suffix: "", transposeA: false, transposeB: false },
  { suffix: "-nt", transposeA: false, transposeB: true },
  { suffix: "-tn", transposeA: true, transposeB: false },
] as const;

const SIZES = [[1024, 1024, 1024], [1568, 1024, 256], [256, 1024, 1568]] as const;

/** Products of three shapes, in each layout. */
export const shapes: readonly Product[] = SIZES.flatMap(([M, N, K]) =>
  LAYOUTS.map(({ suffix, ...layout }): Product => ({
    name: (M === N && N === K ? `matmul-${M}` : `matmul-${M}x${N}x${K}`) + suffix,
    ...{ M, N, K },
    ...layout,
  }))
);

/** A linear layer: weight `[outputs, inputs]`, applied to so many rows. */
export interface LinearLayer {
  readonly name: string;
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** Layers of MCMAE-B in a micro-batch of 2: 49 of 196 tokens are visible, the decoder has all. */
export const mcmaeBase: readonly LinearLayer[] = [
  { name: "qkv", rows: 2 * 49, inputs: 768, outputs: 2304 },
  { name: "fc1", rows: 2 * 49, inputs: 768, outputs: 3072 },
  { name: "fc2", rows: 2 * 49, inputs: 3072, outputs: 768 },
  { name: "conv1-fc1", rows: 2 * 49 * 16, inputs: 256, outputs: 1024 }, // visible cells of stage 1
  { name: "conv2-fc1", rows: 2 * 49 * 4, inputs: 384, outputs: 1536 },
  { name: "decoder-fc1", rows: 2 * 196, inputs: 512, outputs: 2048 },
];

/** The products of a layer: y = x Wᵀ, dx = dy W, dW = dyᵀ x. */
function productsOf({ name, rows, inputs, outputs }: LinearLayer): Product[] {
  const label = `mcmae-b-${name}`;
  const [forward, dx, dw] = [
    { name: `${label}-forward`, M: rows, N: outputs, K: inputs },
    { name: `${label}-dx`, M: rows, N: inputs, K: outputs },
    { name: `${label}-dw`, M: outputs, N: inputs, K: rows },
  ];
  return [
    { ...forward, transposeA: false, transposeB: true },
    { ...dx, transposeA: false, transposeB: false },
    { ...dw, transposeA: true, transposeB: false },
  ];
}

export const products: readonly Product[] = [...shapes, ...mcmaeBase.flatMap(productsOf)];

/** Depthwise convolution of a map `[N, H, W, C]`, stride 1, same padding, with a bias. */
export const depthwise = { shape: [2, 56, 56, 256], kernel: 5 } as const;

/** LayerNorm over the last axis. */
export const layerNorm = { shape: [2 * 56 * 56, 256], eps: 1e-5 } as const;

/** GELU in its exact form, x · Φ(x). */
export const gelu = { size: 1 << 22 } as const;

/** The model of `step-tiny`: the quickstart recipe, as `tests/bench/main.ts` overrides it. */
export const tinySettings: McmaeSettings = {
  kind: "mcmae",
  imageSize: [224, 224],
  channels: 3,
  patchSizes: [4, 2, 2],
  embedDims: [32, 64, 128],
  depths: [1, 1, 4],
  mlpRatios: [4, 4, 4],
  heads: 2,
  decoderDim: 64,
  decoderDepth: 2,
  decoderHeads: 1,
  kernelSize: 5,
  normPix: true,
  masking: "block",
  maskedConvolution: true,
  multiScaleDecoder: true,
  evaluation: "dense",
};

/** The training step of `step-tiny`: AdamW at a constant rate, the same batch over and over. */
export const tinyStep = {
  /** Trained values of the model, without the two frozen tables. */
  parameters: 1_164_672,
  /** Losses of our own first steps from the parameters and the batch of `tiny.ts`. */
  losses: [1.155639, 1.117570, 1.089844, 1.068503],
  batch: 8,
  maskRatio: 0.75,
  lr: 1e-3,
  betas: [0.9, 0.95],
  eps: 1e-8,
  weightDecay: 0.05,
} as const;
