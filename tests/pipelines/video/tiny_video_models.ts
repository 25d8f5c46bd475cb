/** Files of very small models of clips with random parameters, and labelled clips for them. */
import { dirname } from "node:path";
import { encodeClip } from "../../../data/clips/encode.ts";
import { motionClip, MOTIONS } from "../../../data/clips/motion.ts";
import { describeModel } from "../../../pipelines/checkpoints.ts";
import { modelOf } from "../../../pipelines/video/recipe.ts";
import { toSafetensors } from "../../../src/checkpoint.ts";
import { constant, initializer } from "../../../src/init.ts";
import { autoencoder } from "../../../src/models/autoencoder.ts";
import { initClassifier } from "../../../src/models/classifier.ts";
import type { VideoEncoderSettings } from "../../../src/models/encoder.ts";
import type { VideoMcmaeSettings } from "../../../src/models/videomcmae.ts";
import { fold, key } from "../../../src/random.ts";
import { writeSafetensors } from "../../../src/safetensors.ts";
import { drawing } from "../run_pretrain.ts";
import { tinyRecipe } from "./tiny_clips.ts";

export const VIDEO_MCMAE = modelOf(tinyRecipe()) as VideoMcmaeSettings;

/** The baseline of the same sizes. */
export const VIDEO_MAE: VideoEncoderSettings = {
  ...{ kind: "videomae", imageSize: [32, 32], channels: 3, frames: 4, tubelet: 2, heads: 2 },
  ...{ patchSize: 8, embedDim: 16, depth: 2, mlpRatio: 2, initValues: 0, masking: "tube" },
  ...{ decoderDim: 16, decoderDepth: 1, decoderHeads: 2, normPix: true },
  ...{ mean: VIDEO_MCMAE.mean, std: VIDEO_MCMAE.std },
};

/** A checkpoint of pretraining. */
export async function writeVideoAutoencoder(
  path: string,
  settings: VideoEncoderSettings = VIDEO_MCMAE,
): Promise<void> {
  const params = autoencoder(settings as VideoMcmaeSettings).init(key(7));
  await writeSafetensors(path, toSafetensors(params), describeModel(settings, settings));
}

/** A fine-tuned checkpoint; with a bias it always gives the same class. */
export async function writeVideoClassifier(
  path: string,
  classes: number,
  { names, bias, metadata = {} }: {
    names?: readonly string[];
    bias?: readonly number[];
    metadata?: Record<string, string>;
  } = {},
): Promise<void> {
  const draw = initializer(key(7));
  const encoder = VIDEO_MCMAE;
  const params = initClassifier({ encoder, classes, pooling: "mean", dropPath: 0 }, draw);
  const zeros = constant([classes], 0);
  if (bias) (zeros.source as { data: Float32Array }).data.set(bias);
  const weight = bias ? params.head.weight : draw.normal([classes, encoder.embedDims[2]], 1);
  await writeSafetensors(path, toSafetensors({ ...params, head: { weight, bias: zeros } }), {
    ...describeModel(encoder, encoder, names),
    ...metadata,
  });
}

/** What a labelled clip shall be like. */
export interface ClipLook {
  readonly frames?: number;
  readonly width?: number;
  readonly height?: number;
  readonly brightness?: number;
}

/** Writes a clip of a drawing that turns. */
export async function writeClip(
  path: string,
  number: number,
  { frames = 12, width = 48, height = 40, brightness = 1 }: ClipLook = {},
): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  const { data, info } = await drawing(number).modulate({ brightness }).raw()
    .toBuffer({ resolveWithObject: true });
  const photo = { ...info, channels: 3, pixels: new Uint8Array(data) };
  const motion = MOTIONS[number % MOTIONS.length];
  const clip = motionClip(photo, motion, fold(key(2), number), { frames, width, height });
  await encodeClip(clip, path, { fps: 12 });
}

/** Class folders of bright and of dark clips, in `train` and `val`. */
export async function writeClasses(root: string, count = 4): Promise<void> {
  for (const [part, split] of ["train", "val"].entries()) {
    for (const [name, brightness] of [["bright", 1.4], ["dark", 0.3]] as const) {
      for (let i = 0; i < count; i++) {
        await writeClip(`${root}/${split}/${name}/${i}.mp4`, count * part + i, { brightness });
      }
    }
  }
}
