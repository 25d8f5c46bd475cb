/**
 * Images with classes, as evaluation and fine-tuning need them.
 *
 * @module
 */
import { reasonOf } from "../data/files.ts";
import type { ImageSource } from "../data/source.ts";
import { type ImageSplits, openImages } from "./images.ts";
import { UsageError } from "./usage.ts";

/** Images that all have a label. */
export interface LabelledImages extends ImageSplits {
  /** Number of classes, K: of their names, else one more than the largest label to train on. */
  readonly classes: number;
  readonly classNames?: readonly string[];
}

/**
 * Opens images as `openImages` does, and checks that each one has a class.
 *
 * @throws {UsageError} If images have no labels, all have the same, or a folder of a class is empty:
 * the message names the folder or list. Also as `openImages`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { labelledImages } from "@mcmae/mcmae";
 *
 * const { classes, classNames } = await labelledImages({ path: "bundled:photos" });
 * assert.equal(classes, classNames!.length);
 * ```
 */
export async function labelledImages(
  settings: Parameters<typeof openImages>[0],
): Promise<LabelledImages> {
  const { train, val } = await openImages(settings);
  const path = settings.path!;
  const trainName = await nameOf(train, path, ["train"]);
  const valName = val && await nameOf(val, settings.valPath ?? path, VALIDATION);
  checkLabels(train, trainName);
  if (val) checkLabels(val, valName!);
  await checkFolders(val ? [train, val] : [train]);

  return { train, ...(val && { val }), ...classesOf(train, val, trainName, valName) };
}

/**
 * The classes of labelled images or clips.
 *
 * @param trainName What the sources are called in messages, and `samples` what they hold.
 * @throws {UsageError} If there is only one, or `val` has a label beyond those of `train`.
 */
export function classesOf(
  train: ImageSource,
  val: ImageSource | undefined,
  trainName: string,
  valName: string | undefined,
  samples = "images",
): Pick<LabelledImages, "classes" | "classNames"> {
  const labels = new Set(train.labels);
  const classNames = train.classes;
  if (labels.size === 1) {
    const [only] = labels;
    throw new UsageError(
      `Cannot use ${trainName}: all ${samples} are of one class, ${classNames?.[only] ?? only}; ` +
        "name the folder whose subfolders are the classes",
    );
  }
  const classes = classNames?.length ?? Math.max(...labels) + 1;
  const beyond = val?.labels?.find((label) => label >= classes);
  if (beyond !== undefined) {
    throw new UsageError(
      `Cannot use ${valName}: it has the label ${beyond}, but those to train on end at ${
        classes - 1
      }`,
    );
  }
  return { classes, ...(classNames && { classNames }) };
}

const VALIDATION = ["val", "validation", "valid"];

/** The folder or file that a source comes from, for messages. */
async function nameOf(
  source: ImageSource,
  path: string,
  splits: readonly string[],
): Promise<string> {
  if (source.kind === "idx") return source.path;
  if (source.kind === "shards") return path;
  if (!source.listed) return source.root ?? path;
  for (const split of splits) {
    const list = `${source.root}/${split}.txt`;
    if (list.startsWith(path) && await isFile(list)) return list;
  }
  return path;
}

function isFile(path: string): Promise<boolean> {
  return Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

/** What to do about labels that are missing, by the form of the images. */
const ADVICE: Record<ImageSource["kind"] | "list", string> = {
  files: "put each one into a folder with the name of its class",
  list: "write a label behind each path",
  shards: "put a .cls file with its label beside each one",
  idx: "put their idx1-ubyte file beside it",
};

/** @throws {UsageError} If an image has no label. */
function checkLabels(source: ImageSource, name: string): void {
  const { length, labels, kind } = source;
  const missing = labels ? labels.filter((label) => label < 0).length : length;
  if (missing === 0) return;
  const what = missing === length
    ? "its images have no labels"
    : `${missing} of its ${length} ${missing === 1 ? "images has" : "images have"} no label`;
  const advice = ADVICE[kind === "files" && source.listed ? "list" : kind];
  throw new UsageError(`Cannot use ${name}: ${what}; ${advice}`);
}

/**
 * Folders of classes hold images, be it in another split.
 *
 * @throws {UsageError} If one holds none.
 */
async function checkFolders(sources: readonly ImageSource[]): Promise<void> {
  const found = new Map<string, Set<string>>(); // root → subfolders with images
  for (const source of sources) {
    if (source.kind !== "files" || source.listed || source.root === undefined) continue;
    const { root, files } = source;
    const folders = found.get(root) ?? new Set();
    found.set(root, folders);
    for (const file of files) folders.add(file.slice(root.length + 1).split("/", 1)[0]);
  }
  for (const [root, folders] of found) {
    for (const name of await foldersIn(root)) {
      if (folders.has(name)) continue;
      throw new UsageError(
        `Cannot use ${root}: the folder ${root}/${name} holds no image; fill or remove it`,
      );
    }
  }
}

/** Names of a folder's subfolders, in order, without hidden ones. */
async function foldersIn(root: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name, isDirectory, isSymlink } of Deno.readDir(root)) {
      if (name.startsWith(".")) continue;
      if (isDirectory || isSymlink && await isFolder(`${root}/${name}`)) names.push(name);
    }
  } catch (cause) {
    throw new UsageError(`Cannot read folder ${root}: ${reasonOf(cause)}`, { cause });
  }
  return names.sort();
}

function isFolder(path: string): Promise<boolean> {
  return Deno.stat(path).then(({ isDirectory }) => isDirectory, () => false);
}
