import { dirname } from "node:path";
import { DataError, holdsImages, imageFolder } from "./dataset.ts";
import { reasonOf } from "./files.ts";
import { idxImages, idxLabels } from "./idx.ts";
import { listImages } from "./list.ts";
import { expandBraces, isShard, shardImages } from "./shards.ts";
import type { IdxSource, ImageSource } from "./source.ts";

const IDX = /-idx3-ubyte(\.gz)?$/;

/** Names by which a folder tells its splits apart. */
const TRAIN = ["train"];
const VALIDATION = ["val", "validation", "valid"];

/** What a path holds: one source, or two where the names in a folder tell them apart. */
export interface Found {
  readonly train: ImageSource;
  readonly val?: ImageSource;
}

/**
 * Finds images, whatever form they are in:
 *
 * - a folder of images, whose subfolders are classes if every image lies in one;
 * - a list file (`.txt` or any other), see `listImages`;
 * - tar shards: one, a folder that holds some, or a range such as `train-{000..009}.tar`;
 * - IDX: a file, or a folder that holds `train-images-idx3-ubyte`, gzipped or not.
 *
 * A folder has splits if it holds two of these with the names `train` and `val` (or `validation`,
 * `valid`): subfolders, `train.txt` and `val.txt`, or shards that begin so; and in IDX the files
 * that begin with `t10k`.
 *
 * @param cache Where gzipped shards are inflated.
 * @throws {DataError} If there is nothing at the path, or it is empty or bad.
 */
export async function findImages(path: string, cache?: string | null): Promise<Found> {
  const root = path.replace(/(?<=.)\/+$/, "");
  const info = await Deno.stat(root).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new DataError(`Cannot read ${path}: ${reasonOf(error)}`, { cause: error });
  });
  if (!info && /[{}]/.test(root)) return { train: await shardImages(expandBraces(root), cache) };
  if (info?.isFile && root === path) return { train: await imagesOfFile(path, cache) };
  if (!info?.isDirectory) return { train: await imagesOfFolder(path) }; // says what is wrong
  return await splitFolder(root, cache) ?? { train: await imagesOfFolder(path) };
}

async function imagesOfFile(path: string, cache?: string | null): Promise<ImageSource> {
  if (isShard(path)) return await shardImages([path], cache);
  return IDX.test(path) ? await idxSource(path) : await listImages(path);
}

async function imagesOfFolder(path: string): Promise<ImageSource> {
  const { files, labels, classes } = await imageFolder(path);
  const root = path.replace(/(?<=.)\/+$/, "");
  const labelled = labels && { labels: Int32Array.from(labels), classes };
  return { kind: "files", files, root, length: files.length, ...labelled };
}

/** What a folder holds besides images, and its splits. */
async function splitFolder(root: string, cache?: string | null): Promise<Found | undefined> {
  const entries = await namesIn(root);
  const [idx, test] = ["train", "t10k"].map((split) =>
    entries.find((name) => name.startsWith(`${split}-images-`) && IDX.test(name))
  );
  if (idx) {
    return {
      train: await idxSource(`${root}/${idx}`),
      ...(test && { val: await idxSource(`${root}/${test}`) }),
    };
  }
  const shards = entries.filter(isShard);
  if (shards.length > 0) {
    if (await holdsImages(root)) {
      throw new DataError(
        `Cannot use folder ${root}: it holds images and tar files (${shards[0]}): move either away`,
      );
    }
    const named = (names: readonly string[]) =>
      shards.filter((shard) => names.some((name) => shard.startsWith(`${name}-`)))
        .map((shard) => `${root}/${shard}`);
    const [train, val] = [named(TRAIN), named(VALIDATION)];
    if (train.length === 0 || val.length === 0) {
      return { train: await shardImages(shards.map((shard) => `${root}/${shard}`), cache) };
    }
    return { train: await shardImages(train, cache), val: await shardImages(val, cache) };
  }
  for (const extension of [".txt", ""]) {
    const named = (names: readonly string[]) =>
      names.map((name) => name + extension).find((name) => entries.includes(name));
    const [train, val] = [named(TRAIN), named(VALIDATION)];
    if (train === undefined || val === undefined) continue;
    const [trainPath, valPath] = [`${root}/${train}`, `${root}/${val}`];
    if (extension === "" && !(await isSplit(trainPath) && await isSplit(valPath))) continue;
    return {
      train: (await findImages(trainPath, cache)).train,
      val: (await findImages(valPath, cache)).train,
    };
  }
}

async function namesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) if (!name.startsWith(".")) names.push(name);
  } catch (cause) {
    throw new DataError(`Cannot read folder ${folder}: ${reasonOf(cause)}`, { cause });
  }
  return names.sort();
}

/** Whether a path is a folder of images or shards. */
async function isSplit(path: string): Promise<boolean> {
  if (!await Deno.stat(path).then(({ isDirectory }) => isDirectory, () => false)) return false;
  return (await namesIn(path)).some(isShard) || await holdsImages(path);
}

/** An IDX file, with the labels that lie beside it. */
async function idxSource(path: string): Promise<IdxSource> {
  const { length } = await idxImages(path);
  const beside = path.slice(dirname(path).length + 1).replace("-images", "-labels")
    .replace("idx3", "idx1").replace(/\.gz$/, "");
  for (const name of [beside, `${beside}.gz`]) {
    const file = `${dirname(path)}/${name}`;
    if (!await Deno.stat(file).then(() => true, () => false)) continue;
    const labels = Int32Array.from(await idxLabels(file));
    if (labels.length !== length) {
      throw new DataError(`Cannot use ${file}: it has ${labels.length} labels, not ${length}`);
    }
    return { kind: "idx", path, length, labels };
  }
  return { kind: "idx", path, length };
}
