import { DataError, EXTENSION } from "../dataset.ts";
import { reasonOf } from "../files.ts";
import type { Labels } from "../labels.ts";
import type { FileSource } from "../source.ts";
import { VIDEO } from "./video.ts";

/**
 * Videos, perhaps with labels: files, or folders of frames. Plain data, which `holdOut`, `subset` and
 * `sampleName` take as they take images.
 */
export interface ClipSource extends FileSource {
  /** The list that names the videos, and the line of each. */
  readonly list?: { readonly path: string; readonly lines: ReadonlyMap<string, number> };
}

/** What an annotation does not tell itself. */
export interface FindOptions {
  /** Folder that paths begin from; the annotation's unless given. */
  readonly root?: string;
  /** labels.json of Something-Something; beside the annotation unless given. */
  readonly labels?: string;
  /** Number of classes, to check numbers with; any are taken unless given. */
  readonly classes?: number;
}

/** Which line of which list names a video, for messages; empty if none does. */
export function lineOf({ list }: ClipSource, file: string): string {
  const line = list?.lines.get(file);
  return line === undefined ? "" : ` (line ${line} of ${list!.path})`;
}

/** A source of some files. */
export function sourceOf(files: readonly string[], root: string, labels: Labels): ClipSource {
  return { kind: "files", files, root, length: files.length, ...labels };
}

/** A source of the files of a list. */
export function listSource(
  path: string,
  files: readonly string[],
  lines: readonly number[],
  root: string,
  labels: Labels,
): ClipSource {
  const list = { path, lines: new Map(files.map((file, i) => [file, lines[i]])) };
  return { ...sourceOf(files, root, labels), listed: true, list };
}

/** Paths of videos, and of folders that hold images, relative to `root`; sorted, no hidden ones. */
export async function clipsBelow(root: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (prefix: string): Promise<void> => {
    const folders: string[] = [];
    let holdsFrames = false;
    for await (const entry of Deno.readDir(`${root}/${prefix}`)) {
      if (entry.name.startsWith(".")) continue;
      const name = prefix + entry.name;
      const { isDirectory } = entry.isSymlink
        ? await Deno.stat(`${root}/${name}`).catch(() => ({ isDirectory: false }))
        : entry;
      if (isDirectory) folders.push(name);
      else if (VIDEO.test(name)) found.push(name);
      else if (EXTENSION.test(name)) holdsFrames = true;
    }
    if (holdsFrames && prefix !== "") found.push(prefix.slice(0, -1));
    else for (const name of folders) await walk(`${name}/`);
  };
  try {
    await walk("");
  } catch (cause) {
    throw new DataError(`Cannot read folder ${root}: ${reasonOf(cause)}`, { cause });
  }
  return found.sort();
}
