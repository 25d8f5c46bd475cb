/** How fast clips are decoded, with one worker and with two. */
import { encodeClip } from "../../data/clips/encode.ts";
import { findClips } from "../../data/clips/find.ts";
import { loadClips } from "../../data/clips/loader.ts";
import { motionClip, MOTIONS } from "../../data/clips/motion.ts";
import { findImages } from "../../data/find.ts";
import { openSource } from "../../data/source.ts";
import { photosFolder } from "../../pipelines/images.ts";
import { fold, key } from "../../src/random.ts";
import type { Line } from "./measure.ts";

const VIDEO = { frames: 150, width: 340, height: 256 };
const MEASURED = 6; // batches of 4 clips

/** Clips of 16 frames, every fourth, as for Kinetics. */
export async function* clips(): AsyncGenerator<Line> {
  const folder = await Deno.makeTempDir();
  try {
    await writeVideos(folder);
    const source = await findClips(folder);
    for (const workers of [1, 2]) {
      const batches = loadClips({
        ...{ source, seed: 0, start: 0, batch: 4, workers, flip: false },
        sampling: { kind: "dense", frames: 16, stride: 4 },
        crop: { kind: "multi-scale", width: 224, height: 224 },
      });
      await batches.next(); // workers start
      const start = performance.now();
      for (let i = 0; i < MEASURED; i++) await batches.next();
      const ms = (performance.now() - start) / (4 * MEASURED);
      await batches.return();
      yield {
        case: `clips-16x4-224-${workers}-worker${workers > 1 ? "s" : ""}`,
        ms,
        clips_per_s: 1000 / ms,
      };
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Videos of five seconds, one of each motion. */
async function writeVideos(folder: string): Promise<void> {
  const photos = (await findImages(photosFolder())).train;
  const { get } = await openSource(photos, 3);
  for (const [i, motion] of MOTIONS.entries()) {
    const clip = motionClip(await get(i), motion, fold(key(0), i), VIDEO);
    await encodeClip(clip, `${folder}/${motion}.mp4`, { fps: 30 });
  }
}
