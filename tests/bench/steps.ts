/**
 * Whole pretraining steps: data through the loader, forward, backward, AdamW.
 *
 * @module
 */
import type { Params } from "../../src/optim.ts";
import type { Device } from "../../src/device.ts";
import { openImages } from "../../pipelines/images.ts";
import { pretrainTask } from "../../pipelines/pretrain.ts";
import { override } from "../../pipelines/recipe.ts";
import { findRecipe } from "../../pipelines/recipes/mod.ts";
import { videoQuickstart } from "../../pipelines/recipes/video.ts";
import { stepCosts } from "../../pipelines/step_plan.ts";
import { prepare } from "../../pipelines/train.ts";
import type { Task } from "../../pipelines/train_step.ts";
import { openClips } from "../../pipelines/video/clips.ts";
import { videoTask } from "../../pipelines/video/pretrain.ts";
import { type Ceilings, type Line, median, work } from "./measure.ts";

/** MCMAE at a stride of 16 on 224² pixels, as small as it is still all of MCMAE. */
const TINY = [
  "model.imageSize=224,224",
  "model.patchSizes=4,2,2",
  "model.embedDims=32,64,128",
  "model.depths=1,1,4",
  "batch.micro=8",
  "batch.effective=8",
];
const DENSE = "model.evaluation=dense";
/** The photos, one by one: two cores do not hold more of MCMAE-B. */
const ONE = ["data.path=bundled:photos", "batch.micro=1", "batch.effective=1"];

const IMAGES = [
  { name: "step-quickstart", recipe: "quickstart", fields: [] },
  { name: "step-tiny", recipe: "quickstart", fields: TINY },
  { name: "step-tiny-dense", recipe: "quickstart", fields: [...TINY, DENSE] },
  { name: "step-small", recipe: "mcmae_small", fields: ONE },
  { name: "step-base", recipe: "mcmae_base", fields: ONE },
  { name: "step-base-dense", recipe: "mcmae_base", fields: [...ONE, DENSE] },
];

/** Steps of images; `DENSE` ones compute the convolution stages as the published code does. */
export async function* steps(device: Device, ceilings: Ceilings): AsyncGenerator<Line> {
  for (const { name, recipe: preset, fields } of IMAGES) {
    const recipe = override(findRecipe(preset), ["data.workers=2", ...fields]);
    const images = (await openImages(recipe.data)).train;
    yield await step(device, ceilings, name, pretrainTask(recipe, images));
  }
}

/** Steps of clips. */
export async function* videoSteps(device: Device, ceilings: Ceilings): AsyncGenerator<Line> {
  const recipe = override(videoQuickstart, ["data.workers=2"]);
  const clips = (await openClips(recipe.data)).train;
  yield await step(device, ceilings, "step-video-quickstart", videoTask(recipe, clips));
}

/** Steps that are measured: as many as fit this time, and at least so many. */
const MILLISECONDS = 10_000;
const FEWEST = 5;

/** Times a task's steps, in the groups in which its loop hands on metrics; the first compiles. */
async function step<P extends Params, Batch extends Params>(
  device: Device,
  ceilings: Ceilings,
  name: string,
  task: Task<P, Batch>,
): Promise<Line> {
  const trainer = await prepare(device, { ...task, steps: Infinity });
  const steps: { imagesPerSecond: number; dataWait: number }[] = [];
  const stop = new AbortController();
  let start: number | undefined;
  for await (const group of trainer.run({ signal: stop.signal })) {
    if (start !== undefined) steps.push(...group);
    start ??= performance.now();
    if (steps.length >= FEWEST && performance.now() - start > MILLISECONDS) stop.abort();
  }
  trainer.destroy();
  const rate = median(steps.map(({ imagesPerSecond }) => imagesPerSecond));
  const batch = task.microBatch * task.accumulate;
  const ms = 1000 * batch / rate;
  return {
    ...{ case: name, ms, per_s: rate, batch, dispatches: trainer.dispatches },
    ...work(ms, await stepCosts(device, task), ceilings),
    mib: trainer.peakBytes / 2 ** 20,
    data_wait_percent: median(steps.map(({ dataWait }) => 100 * dataWait)),
  };
}
