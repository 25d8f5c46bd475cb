/** Files of very small models with random parameters. */
import { toSafetensors } from "../../src/checkpoint.ts";
import { constant, initializer } from "../../src/init.ts";
import { autoencoder } from "../../src/models/autoencoder.ts";
import { initClassifier } from "../../src/models/classifier.ts";
import type { MaeSettings } from "../../src/models/mae.ts";
import type { McmaeSettings } from "../../src/models/mcmae.ts";
import { key } from "../../src/random.ts";
import { writeSafetensors } from "../../src/safetensors.ts";

export const MCMAE: McmaeSettings = {
  kind: "mcmae",
  imageSize: [32, 32],
  channels: 3,
  patchSizes: [4, 2, 1],
  embedDims: [8, 12, 16],
  depths: [1, 1, 1],
  mlpRatios: [1, 1, 1],
  heads: 2,
  kernelSize: 5,
  decoderDim: 16,
  decoderDepth: 1,
  decoderHeads: 2,
  normPix: true,
  maskedConvolution: true,
  masking: "block",
  multiScaleDecoder: true,
  evaluation: "visible",
};

export const MAE: MaeSettings = {
  kind: "mae",
  imageSize: [32, 32],
  channels: 3,
  patchSize: 8,
  embedDim: 16,
  depth: 2,
  mlpRatio: 2,
  heads: 2,
  decoderDim: 16,
  decoderDepth: 1,
  decoderHeads: 2,
  normPix: true,
};

const NORMAL = { mean: "[0.5,0.4,0.3]", std: "[0.25,0.2,0.3]" };

/** A checkpoint of pretraining. */
export async function writeAutoencoder(
  path: string,
  settings: McmaeSettings | MaeSettings = MCMAE,
  metadata: Record<string, string> = NORMAL,
): Promise<void> {
  const params = autoencoder(settings as McmaeSettings).init(key(7));
  await writeSafetensors(path, toSafetensors(params), {
    ...{ format: "pt", model: JSON.stringify(settings) },
    ...metadata,
  });
}

/** A fine-tuned checkpoint; with a bias it always gives the same class. */
export async function writeClassifier(
  path: string,
  classes: number,
  { names, bias }: { names?: readonly string[]; bias?: readonly number[] } = {},
): Promise<void> {
  const draw = initializer(key(7));
  const params = initClassifier({ encoder: MCMAE, classes, pooling: "mean", dropPath: 0 }, draw);
  const weight = draw.normal([classes, MCMAE.embedDims[2]], 1);
  const zeros = constant([classes], 0);
  if (bias) (zeros.source as { data: Float32Array }).data.set(bias);
  const head = bias ? { weight: params.head.weight, bias: zeros } : { weight, bias: zeros };
  await writeSafetensors(path, toSafetensors({ ...params, head }), {
    ...{ format: "pt", model: JSON.stringify(MCMAE), ...NORMAL },
    ...names && { classes: JSON.stringify(names) },
  });
}
