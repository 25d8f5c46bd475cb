import { DataError } from "../dataset.ts";
import { readFile, reasonOf } from "../files.ts";
import type { FoundMasks } from "./find.ts";
import type { MaskSource } from "./source.ts";

/** Classes of Pascal VOC, in the order of their numbers; 255 is no class. */
export const VOC_CLASSES: readonly string[] = [
  ...["background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"],
  ...["chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"],
  ...["sheep", "sofa", "train", "tvmonitor"],
];

/**
 * Finds the images and masks that the lists of Pascal VOC name, such as those of `VOCdevkit/VOC2012`.
 *
 * @throws {DataError} If a list cannot be read or is empty, or a file that it names is not there.
 */
export async function vocMasks(root: string): Promise<FoundMasks> {
  const lists = `${root}/ImageSets/Segmentation`;
  const there = await Promise.all(["JPEGImages", "SegmentationClass"].map(
    async (folder) => ({ folder, names: await namesIn(`${root}/${folder}`) }),
  ));
  const source = async (list: string): Promise<MaskSource> => {
    const ids = new TextDecoder().decode(await readFile(list)).split(/\s+/).filter((id) => id);
    if (ids.length === 0) throw new DataError(`Cannot use ${list}: it lists no image`);
    const [images, masks] = there.map(({ folder, names }, i) =>
      ids.map((id) => {
        const file = `${id}.${["jpg", "png"][i]}`;
        if (names.has(file)) return `${root}/${folder}/${file}`;
        throw new DataError(`Cannot use ${list}: it lists ${id}, but ${folder} holds no ${file}`);
      })
    );
    return { kind: "masks", length: ids.length, images, masks, root, classes: VOC_CLASSES };
  };
  const val = `${lists}/val.txt`;
  const hasVal = await Deno.stat(val).then(() => true, () => false);
  return { train: await source(`${lists}/train.txt`), ...(hasVal && { val: await source(val) }) };
}

async function namesIn(folder: string): Promise<Set<string>> {
  try {
    return new Set(await Array.fromAsync(Deno.readDir(folder), ({ name }) => name));
  } catch (cause) {
    throw new DataError(`Cannot read folder ${folder}: ${reasonOf(cause)}`, { cause });
  }
}
