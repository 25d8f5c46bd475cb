/**
 * `deno task finetune`, of a recipe of clips.
 *
 * @module
 */
import { openDevice } from "../../src/device.ts";
import type { Params } from "../../src/optim.ts";
import { describeModel } from "../checkpoints.ts";
import { initialClassifier } from "../finetune.ts";
import { loadInitial } from "../from_checkpoint.ts";
import { ofParts, openNotes, type RunRequest, runTraining } from "../training_command.ts";
import { prepareVideoAccuracy } from "./accuracy.ts";
import { clipMetadata, clipText } from "./facts.ts";
import { noteClips } from "./notes.ts";
import { videoFinetuneTask } from "./finetune.ts";
import { videoClassifierOf, type VideoFinetuneRecipe } from "./finetune_recipe.ts";
import { labelledClips } from "./labelled.ts";
import { samplingOf } from "./recipe.ts";

/**
 * Fine-tunes on clips.
 *
 * @param request Checked.
 * @returns The exit code.
 */
export async function finetuneVideo(request: RunRequest<VideoFinetuneRecipe>): Promise<number> {
  const { recipe, out } = request;
  const { data, model, batch, augment: { repeats } } = recipe;
  const clips = await labelledClips(data);
  const { train, val, classes, classNames } = clips;
  const classifier = videoClassifierOf(recipe, classes);
  const params = await loadInitial(request, classifier, initialClassifier(recipe, classifier));
  const device = await openDevice();
  const notes = await openNotes(request);
  const onBatch = noteClips(notes, samplingOf(recipe));
  const [height, width] = model.imageSize;
  return await runTraining({
    ...{ command: "finetune", request, images: clips, device, notes, imageSize: model.imageSize },
    clips: clipText(model, data),
    task: videoFinetuneTask(recipe, params, { source: train, classes, onBatch }),
    model: { ...describeModel(classifier.encoder, data, classNames), ...clipMetadata(recipe) },
    facts: {
      pretrained: recipe.pretrained,
      classes: String(classes),
      ...(repeats > 1 &&
        { views: `${repeats} of each clip, ${batch.micro} on the device at once` }),
    },
    async watch(trainer) {
      if (!val) return { destroy() {} };
      const { params } = trainer;
      const { micro } = ofParts(recipe, trainer).batch;
      const accuracy = await prepareVideoAccuracy(device, classifier, params as Params, {
        ...{ source: val, batch: micro, mean: data.mean, std: data.std, still: data.still },
        ...{ workers: data.workers, maxBad: data.maxBad, onBatch: notes.onBatch },
        ...{ sampling: samplingOf(recipe), decoder: data.decoder, shortSide: data.shortSide },
        ...(data.cache && { cache: data.cache }),
        clips: 1,
        crops: { height, width, crops: 1, shortSide: Math.max(height, width) },
      });
      return {
        async validate() {
          const { top1, top5, loss } = await accuracy.measure();
          return { val_loss: loss, val_top1: top1, val_top5: top5 };
        },
        destroy: () => accuracy.destroy(),
      };
    },
    paper: recipe.paper,
    next: () => {
      const root = data.root === null ? "" : ` --root ${data.root}`;
      const share = data.valPath === null && data.valShare > 0
        ? ` data.valShare=${data.valShare}`
        : "";
      return `deno task eval video --checkpoint ${out}/best.safetensors ` +
        `--data ${data.valPath ?? data.path}${root}${share}`;
    },
  });
}
