/**
 * Clips of eight motions, made of the bundled photos: video files as one's own would be.
 *
 * @module
 */
import { dirname } from "node:path";
import { encodeClip } from "../../data/clips/encode.ts";
import { motionClip, MOTIONS } from "../../data/clips/motion.ts";
import { decodeImage } from "../../data/decode.ts";
import { findImages } from "../../data/find.ts";
import { sampleName } from "../../data/place.ts";
import { fold, key, permutation } from "../../src/random.ts";
import type { FileSource } from "../../data/source.ts";
import { photosFolder } from "../images.ts";
import { exists } from "../run_folder.ts";

/** Where the clips are kept, below the current folder; a change of what is in them has another name. */
export const MOTIONS_FOLDER = "runs/motions-1";

const SIZE = { frames: 24, width: 80, height: 64 };
const FPS = 12;
/** Photos whose clips are only for testing. */
const TEST_PHOTOS = 32;
const SPLIT = 0x73706c74; // keys beneath 0
const CAMERA = 0x63616d;

/**
 * Makes the clips, once: `train` and `test` hold a folder for each motion, and no photo is in both.
 *
 * @param say Is told what is being done, if it is not done already.
 * @returns The folder.
 */
export async function makeMotions(
  say: (text: string) => void = (text) => console.error(text),
  folder = MOTIONS_FOLDER,
): Promise<string> {
  const done = `${folder}/complete`;
  if (await exists(done)) return folder;
  const { train: photos } = await findImages(photosFolder()) as { train: FileSource };
  say(`Making ${MOTIONS.length * photos.length} clips of the bundled photos in ${folder} …`);
  const order = permutation(fold(key(0), SPLIT), photos.length);
  for (const [place, index] of order.entries()) {
    const photo = await decodeImage(photos.files[index]);
    const name = sampleName(photos, index).replace(/\.\w+$/, "").replaceAll("/", "-");
    for (const [i, motion] of MOTIONS.entries()) {
      const path = `${folder}/${place < TEST_PHOTOS ? "test" : "train"}/${motion}/${name}.mp4`;
      await Deno.mkdir(dirname(path), { recursive: true });
      await encodeClip(motionClip(photo, motion, fold(key(0), CAMERA, index, i), SIZE), path, {
        fps: FPS,
      });
    }
  }
  await Deno.writeTextFile(done, "");
  return folder;
}
