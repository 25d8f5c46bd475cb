import { DataError, holdsImages } from "../dataset.ts";
import { reasonOf } from "../files.ts";
import { classNames } from "./class_names.ts";
import { pairsIn } from "./pairs.ts";
import type { MaskSource } from "./source.ts";
import { vocMasks } from "./voc.ts";

/** What a folder holds: one source, or two where it has splits. */
export interface FoundMasks {
  readonly train: MaskSource;
  readonly val?: MaskSource;
}

const IMAGES = "images";
const MASKS = ["masks", "annotations", "labels"];
const TRAIN = ["train", "training"];
const VALIDATION = ["val", "validation", "valid"];

const EXPECTED = "images/ and masks/ (or annotations/, labels/), perhaps with train/ and val/ " +
  "within each, or train/images/, train/masks/, val/images/ and val/masks/, " +
  "or JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/ as Pascal VOC";

/**
 * Finds images with masks of classes, in a folder laid out as
 *
 * - `images/` and `masks/` (or `annotations/`, `labels/`), perhaps with `train/` and `val/` (or
 *   `training/`, `validation/`, `valid/`) within each, as ADE20K;
 * - `train/images/`, `train/masks/`, `val/images/`, `val/masks/`;
 * - Pascal VOC: `JPEGImages/`, `SegmentationClass/`, `ImageSets/Segmentation/{train,val}.txt`.
 *
 * An image and its mask have the same path below these, but for the extension. Files are not opened.
 * Names of classes are VOC's, or those of `classes.txt` or ADE20K's `objectInfo150.txt`.
 *
 * @throws {DataError} If the folder cannot be read or is laid out otherwise, a part of it is empty,
 * an image has no mask, or a mask no image.
 */
export async function findMasks(path: string): Promise<FoundMasks> {
  const root = path.replace(/(?<=.)\/+$/, "");
  const names = await foldersIn(root);
  if (names.has("JPEGImages") && names.has("SegmentationClass")) return await vocMasks(root);
  const classes = await classNames(root);
  const source = async (images: string, masks: string): Promise<MaskSource> => {
    const pairs = await pairsIn(`${root}/${images}`, `${root}/${masks}`);
    return { kind: "masks", length: pairs.images.length, ...pairs, root, ...classes };
  };
  const twice = async (
    [trainImages, trainMasks]: readonly [string, string],
    val?: readonly [string, string],
  ): Promise<FoundMasks> => ({
    train: await source(trainImages, trainMasks),
    ...(val && { val: await source(...val) }),
  });

  if (names.has(IMAGES)) {
    const masks = await masksIn(root, names);
    const [train, val] = await Promise.all(
      [TRAIN, VALIDATION].map((split) => splitIn(root, IMAGES, masks, split)),
    );
    if (val && !train) {
      throw new DataError(`Cannot use folder ${root}/${IMAGES}: it holds val but no train`);
    }
    return await twice(train ?? [IMAGES, masks], val);
  }
  const [train, val] = await Promise.all([TRAIN, VALIDATION].map(async (split) => {
    const name = split.find((name) => names.has(name));
    const within = name && await foldersIn(`${root}/${name}`);
    if (!within || !within.has(IMAGES)) return undefined;
    return [`${name}/${IMAGES}`, `${name}/${await masksIn(`${root}/${name}`, within)}`] as const;
  }));
  if (train) return await twice(train, val);
  throw new DataError(`Cannot use folder ${path}: expected ${EXPECTED}`);
}

/** Which folder holds the masks that go with `images/`. */
async function masksIn(root: string, names: ReadonlySet<string>): Promise<string> {
  const found = MASKS.filter((name) => names.has(name));
  for (const name of found) if (await holdsImages(`${root}/${name}`)) return name;
  if (found.length > 0) return found[0]; // empty, which is said where it is read
  throw new DataError(
    `Cannot use folder ${root}: it holds ${IMAGES}/ but none of ${MASKS.join("/, ")}/`,
  );
}

/** A split's folders of images and masks, or undefined if the images have no such split. */
async function splitIn(
  root: string,
  images: string,
  masks: string,
  split: readonly string[],
): Promise<readonly [string, string] | undefined> {
  const [inImages, inMasks] = await Promise.all(
    [images, masks].map((name) => foldersIn(`${root}/${name}`)),
  );
  const from = split.find((name) => inImages.has(name));
  const to = split.find((name) => inMasks.has(name));
  if (from && to) return [`${images}/${from}`, `${masks}/${to}`];
  if (!from && !to) return undefined;
  const [there, lacking] = from ? [`${images}/${from}`, masks] : [`${masks}/${to}`, images];
  throw new DataError(
    `Cannot use folder ${root}: it holds ${there} but no ${lacking}/${split.join(" or ")}`,
  );
}

/** Names of the folders in a folder, and of links. */
async function foldersIn(folder: string): Promise<Set<string>> {
  const names = new Set<string>();
  try {
    for await (const entry of Deno.readDir(folder)) if (!entry.isFile) names.add(entry.name);
  } catch (cause) {
    throw new DataError(`Cannot read folder ${folder}: ${reasonOf(cause)}`, { cause });
  }
  return names;
}
