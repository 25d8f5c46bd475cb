/**
 * The loss on images held out, with fixed crops and masks, so that checkpoints can be compared.
 *
 * @module
 */
import { normalise } from "../data/augment.ts";
import { randomMask } from "../data/mask.ts";
import type { ImageSource } from "../data/source.ts";
import type { Device } from "../src/device.ts";
import { type Autoencoder, autoencoder } from "../src/models/autoencoder.ts";
import { inStage } from "../src/op.ts";
import type { Params } from "../src/optim.ts";
import { compile } from "../src/plan/plan.ts";
import { readAll } from "../src/plan/read.ts";
import { fold, key } from "../src/random.ts";
import { tensor } from "../src/tensor.ts";
import { type MaskedBatch, maskTensors, VALIDATION } from "./pretrain.ts";
import type { Recipe } from "./recipe.ts";
import { evaluationCrops, type OnBad } from "./reconstruction.ts";

/** Images or clips that a validation looks at, at most. */
export const MOST = 1024;

/**
 * Prepares to measure the loss.
 *
 * @param params Parameters on the device.
 * @returns Gives the mean loss of up to 1024 images spread over the source, in whole micro-batches.
 */
export async function prepareValidation(
  device: Device,
  recipe: Recipe,
  params: Params,
  source: ImageSource,
  onBad?: OnBad,
): Promise<() => Promise<{ readonly val_loss: number }>> {
  const model = autoencoder(recipe.model) as Autoencoder<never> as Autoencoder<Params>;
  const { model: { imageSize: [height, width], channels }, data: { mean, std } } = recipe;
  const crops = await evaluationCrops(recipe, source, MOST, onBad);
  const n = Math.min(recipe.batch.micro, crops.length);
  const root = fold(key(recipe.seed), VALIDATION);
  const batchAt = (start: number): MaskedBatch => {
    const images = new Float32Array(n * height * width * channels);
    for (let i = 0; i < n; i++) {
      images.set(normalise(crops[start + i], mean, std), i * height * width * channels);
    }
    const keys = Array.from({ length: n }, (_, i) => fold(root, start + i));
    return {
      images: tensor(images, [n, height, width, channels]),
      ...maskTensors(model, randomMask(keys, model.masked, recipe.maskRatio), n),
    };
  };
  const lossOf = await compileLoss(device, model, params, batchAt(0));
  return async () => {
    let sum = 0;
    let batches = 0;
    for (let start = 0; start + n <= crops.length; start += n, batches++) {
      sum += await lossOf(batchAt(start));
    }
    return { val_loss: sum / batches };
  };
}

/**
 * Compiles the loss of a batch.
 *
 * @param params Parameters on the device.
 * @param like A batch of the shape of all others.
 */
export async function compileLoss(
  device: Device,
  model: Autoencoder<Params>,
  params: Params,
  like: MaskedBatch,
): Promise<(batch: MaskedBatch) => Promise<number>> {
  const plan = await compile(
    device,
    ({ params, batch }) => ({
      loss: inStage("validate", () => {
        const predicted = model.decode(params, model.encode(params, batch), batch);
        return model.loss(predicted, batch);
      }),
    }),
    { params, batch: like },
  );
  return async (batch) => {
    const [[loss]] = await readAll(device, [plan.run({ params, batch }).loss]);
    return loss;
  };
}
