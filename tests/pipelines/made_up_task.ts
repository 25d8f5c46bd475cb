/** Tasks of small recipes on random numbers: no data is read. */
import { type AnyRecipe, blankTask } from "../../pipelines/blank_task.ts";
import { complete } from "../../pipelines/from_checkpoint.ts";
import { override, type RunSettings } from "../../pipelines/recipe.ts";
import { findModelRecipe, findPretrainRecipe } from "../../pipelines/recipes/mod.ts";
import type { Task } from "../../pipelines/train.ts";
import { completeClips, type VideoFinetunePreset } from "../../pipelines/video/finetune_recipe.ts";
import { describeVideo } from "../../pipelines/video/pretrain_command.ts";
import { videoAutoencoder } from "../../pipelines/video/pretrain.ts";
import type { VideoRecipe } from "../../pipelines/video/recipe.ts";
import type { FinetunePreset } from "../../pipelines/finetune_recipe.ts";
import { toSafetensors } from "../../src/checkpoint.ts";
import type { Params } from "../../src/optim.ts";
import { fold, type Key, key, normal, uniform } from "../../src/random.ts";
import { writeSafetensors } from "../../src/safetensors.ts";
import { sizeOf, type Tensor, tensor } from "../../src/tensor.ts";
import { map } from "../../src/tree.ts";
import { TINY } from "./run_pretrain.ts";
import { writeAutoencoder } from "./tiny_models.ts";

const CLIPS = [
  ...["model.imageSize=16,16", "model.embedDims=8,8,16", "model.depths=1,1,1"],
  ...["model.mlpRatios=1,1,1", "model.decoderDim=16", "data.workers=1", "batch.micro=4"],
];
const VIT = [
  ...["model.imageSize=32,32", "model.patchSize=8", "model.embedDim=16", "model.depth=2"],
  ...["model.heads=2", "model.decoderDim=16", "model.decoderDepth=1", "model.decoderHeads=2"],
  ...["batch.micro=4", "batch.effective=4"],
];

/** Small recipes of every kind of run. */
export async function smallRecipes(folder: string): Promise<Record<string, AnyRecipe>> {
  const small = <R extends RunSettings>(recipe: R, fields: string[]) => override(recipe, fields);
  const images = findPretrainRecipe("quickstart");
  const clips = small(findPretrainRecipe("video_quickstart") as VideoRecipe, CLIPS);
  const [pretrained, pretrainedClips] = [`${folder}/images`, `${folder}/clips`];
  await writeAutoencoder(pretrained);
  const weights = toSafetensors(videoAutoencoder(clips).init(key(3)));
  await writeSafetensors(pretrainedClips, weights, { format: "pt", ...describeVideo(clips) });
  const tune = findModelRecipe("finetune") as FinetunePreset;
  const tuneClips = findModelRecipe("video_finetune_k400") as VideoFinetunePreset;
  const mae = [...VIT.filter((field) => !field.includes("frames")), "data.path=any"];
  return {
    "MCMAE": small(images, TINY),
    "MCMAE, dense": small(images, [...TINY, "model.evaluation=dense"]),
    "MAE": small(findPretrainRecipe("mae_base"), mae),
    "VideoMCMAE": clips,
    "VideoMAE": small(findPretrainRecipe("videomae_base_k400"), [
      ...VIT.map((field) => field.replace("32,32", "16,16")),
      ...["model.frames=4", "data.path=any"],
    ]),
    "fine-tuning": small(await complete(tune, pretrained), ["batch.micro=4", "model.dropPath=0.5"]),
    // Two views of each of two clips.
    "fine-tuning on clips": small(await completeClips(tuneClips, pretrainedClips), [
      ...["batch.micro=4", "batch.effective=4", "model.dropPath=0.5"],
    ]),
  };
}

/** The task of a recipe with random parameters and inputs, the same each time. */
export function madeUpTask(recipe: AnyRecipe): Task<Params, Params> {
  const task = blankTask(recipe, 3);
  return {
    ...task,
    ...{ steps: 3, rate: () => 1e-3 },
    params: drawn(task.params, key(1), (key, n) => normal(key, n).map((z) => 0.2 * z)),
    async *batches(position) {
      for await (const batch of task.batches(position)) {
        const { images, paths } = batch as Record<string, Tensor>;
        const own = fold(key(2), position++);
        yield {
          ...batch,
          ...drawn({ images }, own, normal),
          ...paths && drawn({ paths }, own, uniform),
        };
      }
    },
  };
}

function drawn(tree: Params, root: Key, draw: (key: Key, n: number) => Float32Array): Params {
  let next = 0;
  return map<Tensor, Tensor>(
    tree,
    ({ shape }) => tensor(Float32Array.from(draw(fold(root, next++), sizeOf(shape))), shape),
  );
}

export type { AnyRecipe };
