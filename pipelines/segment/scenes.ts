/**
 * Scenes of things before the bundled photos, with their masks and boxes: files as one's own would
 * be.
 *
 * @module
 */
import sharp from "sharp";
import type { Size } from "../../data/augment.ts";
import type { CocoAnnotation, CocoImage } from "../../data/coco/instances.ts";
import { runLengths } from "../../data/coco/run_lengths.ts";
import { DataError } from "../../data/dataset.ts";
import { decodeImage } from "../../data/decode.ts";
import { findImages } from "../../data/find.ts";
import { sampleName } from "../../data/place.ts";
import type { Image } from "../../data/resize.ts";
import type { FileSource } from "../../data/source.ts";
import { CATEGORIES, findStamps, readCutout, type StampFile } from "../../data/stamps/find.ts";
import { STAMPS_FOLDER } from "../../data/stamps/folder.ts";
import { composeScene } from "../../data/stamps/scene.ts";
import { fold, type Key, key, permutation } from "../../src/random.ts";
import { photosFolder } from "../images.ts";
import { exists } from "../run_folder.ts";

const VERSION = 4;

/** Where the scenes are kept, below the current folder; a change of what is in them has another name. */
export const SCENES_FOLDER = `runs/scenes-${VERSION}`;

/** What a pixel may be. */
export const SCENE_CLASSES = ["background", "foreground"] as const;

/** The one category of annotations: things of the test split are of kinds that were never seen. */
const SCENE_CATEGORY = "thing";

/** What to make, if not the default. */
export interface SceneSettings {
  /** Folder of the stamps. */
  readonly stamps?: string;
  /** Of a scene, in pixels. */
  readonly size?: Size;
  /** Numbers of scenes. */
  readonly scenes?: Readonly<Record<Split, number>>;
}

type Split = "train" | "val";

/** Photos and things that only scenes to validate on show. */
const VAL_PHOTOS = 32;
const VAL_SHARE = 0.2;
const PHOTOS = 0x70686f74; // keys beneath 0
const THINGS = 0x7468696e;
const SCENES = 0x7363656e;

/**
 * Makes the scenes, once. `train` and `val` each hold `images/NAME.jpg`, `masks/NAME.png` with the
 * number of a class in `classes.txt`, and `instances.json` in COCO's format; no photo and no thing
 * is in both.
 *
 * @param say Is told what is being done, if it is not done already.
 * @returns The folder.
 * @throws {DataError} If there are no stamps, or too few for two splits.
 */
export async function makeScenes(
  say: (text: string) => void = (text) => console.error(text),
  folder = SCENES_FOLDER,
  settings: SceneSettings = {},
): Promise<string> {
  const { size = { width: 128, height: 128 }, scenes = { train: 1200, val: 120 } } = settings;
  const done = `${folder}/complete`;
  if (await exists(done)) return folder;
  const stamps = holdOutStamps(
    await findStamps(settings.stamps ?? STAMPS_FOLDER),
    fold(key(0), THINGS),
  );
  for (const [split, { length }] of Object.entries(stamps)) {
    if (length === 0) throw new DataError(`Cannot make scenes: there are no stamps for ${split}`);
  }
  const { train: source } = await findImages(photosFolder()) as { train: FileSource };
  const order = [...permutation(fold(key(0), PHOTOS), source.length)];
  const photos = { train: order.slice(VAL_PHOTOS), val: order.slice(0, VAL_PHOTOS) };
  say(
    `Making ${scenes.train + scenes.val} scenes of ${stamps.train.length + stamps.val.length} ` +
      `things before the bundled photos in ${folder} …`,
  );
  for (const [i, split] of (["train", "val"] as const).entries()) {
    await makeSplit(`${folder}/${split}`, {
      ...{ source, photos: photos[split], stamps: stamps[split], size, count: scenes[split] },
      key: fold(key(0), SCENES, i),
    });
    say(`${split}: ${scenes[split]} scenes of ${stamps[split].length} things`);
  }
  await Deno.writeTextFile(`${folder}/classes.txt`, `${SCENE_CLASSES.join("\n")}\n`);
  await Deno.writeTextFile(done, `${VERSION}\n`);
  return folder;
}

/**
 * Holds out about a fifth of every category's things. Variants, which are those whose names begin
 * with the same word (`cow.png`, `cow_white.png`, `Cow2.png`), stay together, in whatever folder.
 */
export function holdOutStamps(
  stamps: readonly StampFile[],
  key: Key,
): Record<Split, StampFile[]> {
  const variants = new Map<string, StampFile[]>();
  for (const stamp of stamps) {
    const word = wordOf(stamp.name);
    variants.set(word, [...variants.get(word) ?? [], stamp]);
  }
  const groups = [...variants.values()];
  const left = new Map(CATEGORIES.map((category): [string, number] => {
    const { length } = stamps.filter((stamp) => stamp.category === category);
    return [category, Math.ceil(VAL_SHARE * length)];
  }));
  const held = new Set<StampFile>();
  for (const index of permutation(key, groups.length)) {
    const [{ category }] = groups[index];
    const room = left.get(category)! - groups[index].length;
    if (room < 0) continue;
    left.set(category, room);
    for (const stamp of groups[index]) held.add(stamp);
  }
  return {
    train: stamps.filter((stamp) => !held.has(stamp)),
    val: stamps.filter((stamp) => held.has(stamp)),
  };
}

/** First word of a file's name, or all of the name if it begins with none. */
function wordOf(name: string): string {
  const file = name.slice(name.lastIndexOf("/") + 1).toLowerCase();
  return file.match(/^\p{L}+/u)?.[0] ?? file;
}

interface SplitParts {
  readonly source: FileSource;
  /** Indices into `source`. */
  readonly photos: readonly number[];
  readonly stamps: readonly StampFile[];
  readonly size: Size;
  readonly count: number;
  readonly key: Key;
}

async function makeSplit(folder: string, parts: SplitParts): Promise<void> {
  const { source, photos, size } = parts;
  for (const name of ["images", "masks"]) {
    await Deno.mkdir(`${folder}/${name}`, { recursive: true });
  }
  const cutouts = await Promise.all(parts.stamps.map(readCutout));
  // Beyond COCO's fields: which photo and which stamp, since both have authors.
  const images: (CocoImage & { photo: string })[] = [];
  const annotations: (CocoAnnotation & { stamp: string })[] = [];
  for (let i = 0; i < parts.count; i++) {
    const index = photos[i % photos.length];
    const photo = await decodeImage(source.files[index]);
    const { image, labels, instances } = composeScene(photo, cutouts, fold(parts.key, i), size);
    const name = String(i).padStart(4, "0");
    await writeJpeg(`${folder}/images/${name}.jpg`, image);
    await writeMask(`${folder}/masks/${name}.png`, { ...size, channels: 1, pixels: labels });
    images.push({
      ...{ id: i + 1, file_name: `${name}.jpg`, width: size.width, height: size.height },
      photo: sampleName(source, index),
    });
    for (const { name: stamp, mask, box } of instances) {
      annotations.push({
        ...{ id: annotations.length + 1, image_id: i + 1, category_id: 1 },
        ...{ bbox: box, area: mask.reduce((sum, seen) => sum + seen, 0), iscrowd: 0 },
        segmentation: runLengths(mask, size.height, size.width),
        stamp,
      });
    }
  }
  const categories = [{ id: 1, name: SCENE_CATEGORY }];
  const instances = JSON.stringify({ images, categories, annotations });
  await Deno.writeTextFile(`${folder}/instances.json`, instances);
}

async function writeJpeg(path: string, { width, height, pixels }: Image): Promise<void> {
  await sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 95, chromaSubsampling: "4:4:4" }).toFile(path);
}

/** One grey byte a pixel. */
async function writeMask(path: string, { width, height, pixels }: Image): Promise<void> {
  await sharp(pixels, { raw: { width, height, channels: 1 } })
    .toColourspace("b-w").png().toFile(path);
}
