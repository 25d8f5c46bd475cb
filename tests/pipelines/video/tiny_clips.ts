/** Folders of small clips, and a very small model for them. */
import { dirname } from "node:path";
import { encodeClip } from "../../../data/clips/encode.ts";
import { motionClip, MOTIONS } from "../../../data/clips/motion.ts";
import type { Image } from "../../../data/resize.ts";
import { override } from "../../../pipelines/recipe.ts";
import { videoQuickstart } from "../../../pipelines/recipes/video.ts";
import type { VideoRecipe } from "../../../pipelines/video/recipe.ts";
import { fold, key } from "../../../src/random.ts";
import { drawing, exists, scratch } from "../run_pretrain.ts";

/** Shapes that every test shares, because a new one costs compilation. */
export const TINY_VIDEO = [
  "model.imageSize=32,32",
  "model.frames=4",
  "model.embedDims=8,8,16",
  "model.depths=1,1,1",
  "model.mlpRatios=1,1,1",
  "model.decoderMlpRatio=1",
  "model.decoderDim=16",
  "model.decoderHeads=2",
  "model.heads=2",
  "data.shortSide=36",
  "batch.micro=4",
  "report.images=3",
];

/** The recipe that these fields make of `video_quickstart`. */
export function tinyRecipe(...fields: string[]): VideoRecipe {
  return override(videoQuickstart, [...TINY_VIDEO, ...fields]);
}

/** A drawing, decoded. */
async function picture(number: number): Promise<Image> {
  const { data, info: { width, height } } = await drawing(number).raw()
    .toBuffer({ resolveWithObject: true });
  return { width, height, channels: 3, pixels: new Uint8Array(data) };
}

/** Writes clips of drawings under these names; those that contain `bad` are no videos. */
export async function writeClips(root: string, names: readonly string[]): Promise<void> {
  for (const [i, name] of names.entries()) {
    const path = `${root}/${name}`;
    await Deno.mkdir(dirname(path), { recursive: true });
    if (name.includes("bad")) {
      await Deno.writeTextFile(path, "no video");
      continue;
    }
    const size = { frames: 12, width: 48, height: 40 };
    const clip = motionClip(await picture(i), MOTIONS[i % MOTIONS.length], fold(key(1), i), size);
    await encodeClip(clip, path, { fps: 12 });
  }
}

/** Makes a folder of clips for the tests of one module, once. */
export async function clipsOf(count: number): Promise<string> {
  const folder = `${scratch}/clips-${count}`;
  if (await exists(folder)) return folder;
  await writeClips(folder, Array.from({ length: count }, (_, i) => `${i}.mp4`));
  return folder;
}
