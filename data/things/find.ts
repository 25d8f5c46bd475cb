import { readAnnotations } from "../coco/annotations.ts";
import { wrongField } from "../coco/fields.ts";
import { DataError } from "../dataset.ts";
import { reasonOf } from "../files.ts";
import type { Thing, ThingSource } from "./source.ts";

/** What a folder holds: one source, or two where it has splits. */
export interface FoundThings {
  readonly train: ThingSource;
  readonly val?: ThingSource;
}

/** Where annotations and their images lie. */
interface Place {
  readonly annotations: string;
  readonly images: string;
}

/** Names of files of annotations beside images or `images/`. */
const ANNOTATIONS = ["instances.json", "annotations.json", "_annotations.coco.json"];
const TRAIN = ["train"];
const VALIDATION = ["val", "valid", "validation"];

const EXPECTED =
  "instances.json (or annotations.json, _annotations.coco.json) beside its images or " +
  "images/, perhaps in train/ and val/, or annotations/instances_train2017.json and train2017/ as COCO";

/**
 * Finds images with annotated things, in a folder laid out as
 *
 * - COCO: `annotations/instances_train2017.json`, `train2017/`, and the same with `val2017`; any name
 *   may stand for the year;
 * - `instances.json` (or `annotations.json`, `_annotations.coco.json`) and the images it names, beside
 *   it or in `images/`; or `train/` and `val/` (or `valid/`, `validation/`) that each hold these.
 *
 * Images are not opened.
 *
 * @throws {DataError} If the folder cannot be read or is laid out otherwise, annotations are bad or
 *   lack a mask, an image is missing, or the splits have other categories.
 */
export async function findThings(path: string): Promise<FoundThings> {
  const root = path.replace(/(?<=.)\/+$/, "");
  const [train, val] = [await placeOf(root, TRAIN), await placeOf(root, VALIDATION)];
  const alone = await besideImages(root);
  if (!train && !alone) {
    const found = val ? "it has no split to train on" : `it does not hold ${EXPECTED}`;
    throw new DataError(`Cannot use folder ${root}: ${found}`);
  }
  const first = await sourceAt((train ?? alone)!, root);
  if (!val || !train) return { train: first };
  const second = await sourceAt(val, root);
  const [names, others] = [first, second].map(({ categories }) => JSON.stringify(categories));
  if (names !== others) {
    throw new DataError(
      `Cannot use ${second.annotations}: its categories are not those of ${first.annotations}`,
    );
  }
  return { train: first, val: second };
}

/** A split by any of its names, if there is one. */
async function placeOf(root: string, names: readonly string[]): Promise<Place | undefined> {
  const files = await namesIn(`${root}/annotations`);
  for (const name of names) {
    const file = [...files].sort().find((file) =>
      /^instances_(.+)\.json$/.exec(file)?.[1].startsWith(name)
    );
    if (file) {
      const [, split] = /^instances_(.+)\.json$/.exec(file)!;
      return { annotations: `${root}/annotations/${file}`, images: `${root}/${split}` };
    }
    const found = await besideImages(`${root}/${name}`);
    if (found) return found;
  }
}

async function besideImages(folder: string): Promise<Place | undefined> {
  const names = await namesIn(folder);
  const file = ANNOTATIONS.find((name) => names.has(name));
  if (!file) return undefined;
  const images = names.has("images") ? `${folder}/images` : folder;
  return { annotations: `${folder}/${file}`, images };
}

/** What a folder holds; nothing if there is none. */
async function namesIn(folder: string): Promise<Set<string>> {
  try {
    return new Set(await Array.fromAsync(Deno.readDir(folder), ({ name }) => name));
  } catch (cause) {
    const isAbsent = cause instanceof Deno.errors.NotFound ||
      cause instanceof Deno.errors.NotADirectory;
    if (isAbsent) return new Set();
    throw new DataError(`Cannot read ${folder}: ${reasonOf(cause)}`, { cause });
  }
}

async function sourceAt(
  { annotations: file, images: folder }: Place,
  root: string,
): Promise<ThingSource> {
  const { images, categories, annotations, imageIds, categoryIds } = readAnnotations(file);
  await checkImages(file, folder, images.map(({ file_name }) => file_name));
  const sorted = categories.toSorted((a, b) => a.id - b.id);
  const rank = new Map(sorted.map((category, i) => [category, i]));
  const things = images.map((): Thing[] => []);
  for (const [i, { image_id, category_id, iscrowd, segmentation }] of annotations.entries()) {
    if (iscrowd === 1) continue;
    if (segmentation === undefined) {
      throw wrongField(file, `annotations[${i}].segmentation`, "a mask", segmentation);
    }
    const category = rank.get(categories[categoryIds.get(category_id)!])!;
    things[imageIds.get(image_id)!].push({ category, segmentation });
  }
  return {
    ...{
      kind: "things",
      length: images.length,
      things,
      categories: sorted,
      annotations: file,
      root,
    },
    images: images.map(({ file_name }) => `${folder}/${file_name}`),
    ids: images.map(({ id }) => id),
    sizes: images.map(({ height, width }) => [height, width]),
  };
}

/** @throws {DataError} If a file of these names, which may have folders in them, is missing. */
async function checkImages(
  file: string,
  folder: string,
  names: readonly string[],
): Promise<void> {
  const folders = new Map<string, Set<string>>();
  const missing: number[] = [];
  for (const [i, name] of names.entries()) {
    const cut = name.lastIndexOf("/");
    const within = cut < 0 ? folder : `${folder}/${name.slice(0, cut)}`;
    if (!folders.has(within)) folders.set(within, await namesIn(within));
    if (name === "" || !folders.get(within)!.has(name.slice(cut + 1))) missing.push(i);
  }
  if (missing.length === 0) return;
  const [first] = missing;
  const many = missing.length === 1 ? "" : `, as are ${missing.length - 1} more of ${names.length}`;
  throw new DataError(
    `Cannot use ${file}: images[${first}].file_name ${names[first]} is not in ${folder}${many}`,
  );
}
