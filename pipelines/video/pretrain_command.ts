/**
 * `deno task pretrain`, of a recipe of clips.
 *
 * @module
 */
import { openDevice } from "../../src/device.ts";
import { describeModel, type ModelMetadata } from "../checkpoints.ts";
import { MOTIONS } from "../recipe.ts";
import { FILES } from "../run_folder.ts";
import { ofParts, openNotes, type RunRequest, runTraining } from "../training_command.ts";
import { openClips } from "./clips.ts";
import { type ClipFacts, clipText } from "./facts.ts";
import { noteClips } from "./notes.ts";
import { prepareClipPanels } from "./panels.ts";
import { videoTask } from "./pretrain.ts";
import { modelOf, samplingOf, type VideoRecipe } from "./recipe.ts";
import { prepareClipValidation } from "./validation.ts";

/**
 * Pretrains on clips.
 *
 * @param request Checked.
 * @returns The exit code.
 */
export async function pretrainVideo(request: RunRequest<VideoRecipe>): Promise<number> {
  const { recipe, out } = request;
  const { model, data } = recipe;
  const clips = await openClips(data); // looks for mistakes before the device
  const { train, val = train } = clips;
  const device = await openDevice();
  const notes = await openNotes(request);
  const onBatch = noteClips(notes, samplingOf(recipe));
  return await runTraining({
    ...{ command: "pretrain", request, images: clips, device, notes, imageSize: model.imageSize },
    clips: clipText(recipe.model, data),
    task: videoTask(recipe, train, onBatch),
    model: describeVideo(recipe),
    async watch(trainer) {
      const { params } = trainer;
      const panels = await prepareClipPanels(device, recipe, params, val, out, notes.onBad);
      const validate = clips.val &&
        await prepareClipValidation(device, ofParts(recipe, trainer), params, val, notes.onBad);
      return { draw: panels.draw, validate, destroy: () => panels.destroy() };
    },
    files: [
      [FILES.animation, "original, masked, reconstructed, in motion"],
      [FILES.picture, "four frames of each"],
    ],
    next: () => {
      if (data.path === MOTIONS) {
        return `deno task pretrain ${recipe.name} --data DIR   (your own videos)`;
      }
      const more = recipe.schedule.steps === null ? "schedule.epochs=N" : "--steps N";
      return `deno task pretrain --resume --out ${out} ${more}   (train on)`;
    },
  });
}

/** What a pretrained model's file says of itself: what evaluations and fine-tuning need. */
export function describeVideo(recipe: VideoRecipe): ModelMetadata {
  const { data, maskRatio } = recipe;
  const { sampling, stride, shortSide } = data;
  const facts: Partial<ClipFacts> = { sampling, stride, shortSide };
  return {
    ...describeModel(modelOf(recipe), data),
    clips: JSON.stringify(facts),
    maskRatio: String(maskRatio),
  };
}
