/** Parameters and one batch of `step-tiny`, the same for every library. */
import { randomMask } from "../../../data/mask.ts";
import { initializer } from "../../../src/init.ts";
import { initMcmae, type McmaeParams } from "../../../src/models/mcmae.ts";
import { fold, key, normal } from "../../../src/random.ts";
import { tinySettings, tinyStep } from "./cases.ts";

/** Final tokens of an image, L. */
export const TOKENS = 14 * 14;

const SEED = key(0);

/** Initial parameters, with the names and shapes of PyTorch. */
export function tinyParams(): McmaeParams {
  return initMcmae(tinySettings, initializer(fold(SEED, 0)));
}

/** Images `[N, H, W, C]` of noise, and masks as {@linkcode randomMask} gives them. */
export function tinyBatch() {
  const { batch, maskRatio } = tinyStep;
  const { imageSize: [height, width], channels } = tinySettings;
  const keys = Array.from({ length: batch }, (_, i) => fold(SEED, 1, i));
  return {
    images: normal(fold(SEED, 2), batch * height * width * channels),
    ...randomMask(keys, TOKENS, maskRatio),
  };
}
