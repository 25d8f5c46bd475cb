/**
 * The loss on clips held out, with fixed views and masks, so that checkpoints can be compared.
 *
 * @module
 */
import type { ClipViewBatch } from "../../data/clips/evaluation_loader.ts";
import type { ClipSource } from "../../data/clips/find.ts";
import type { Device } from "../../src/device.ts";
import type { Params } from "../../src/optim.ts";
import { fold, key } from "../../src/random.ts";
import { tensor } from "../../src/tensor.ts";
import { type MaskedBatch, maskTensors, VALIDATION } from "../pretrain.ts";
import type { OnBad } from "../reconstruction.ts";
import { compileLoss, MOST } from "../validation.ts";
import { normaliseClips } from "./clips.ts";
import { clipMask, videoAutoencoder } from "./pretrain.ts";
import type { VideoRecipe } from "./recipe.ts";
import { evaluationClips, loadSpread } from "./views.ts";

/**
 * Prepares to measure the loss.
 *
 * Clips are read again each time: a thousand of them may be larger than the memory.
 *
 * @param params Parameters on the device.
 * @returns Gives the mean loss of up to 1024 clips spread over the source, in whole micro-batches.
 */
export async function prepareClipValidation(
  device: Device,
  recipe: VideoRecipe,
  params: Params,
  source: ClipSource,
  onBad?: OnBad,
): Promise<() => Promise<{ readonly val_loss: number }>> {
  const model = videoAutoencoder(recipe);
  const { data, batch: { micro } } = recipe;
  const root = fold(key(recipe.seed), VALIDATION);
  const masked = ({ clips, shape, indices }: ClipViewBatch): MaskedBatch => {
    const keys = Array.from(indices, (i) => fold(root, i));
    return {
      images: tensor(normaliseClips(clips, data), shape),
      ...maskTensors(model, clipMask(recipe, model, keys), keys.length),
    };
  };
  const first = await evaluationClips(recipe, source, Math.min(micro, MOST), onBad);
  const [n] = first.shape;
  const lossOf = await compileLoss(device, model, params, masked(first));
  return async () => {
    let sum = 0;
    let batches = 0;
    for await (
      const views of loadSpread(recipe, source, { spread: MOST, batch: n, prefetch: 1 }, onBad)
    ) {
      if (views.shape[0] < n || (batches + 1) * n > MOST) break;
      sum += await lossOf(masked(views));
      batches++;
    }
    return { val_loss: sum / batches };
  };
}
