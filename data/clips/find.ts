import { DataError } from "../dataset.ts";
import { readFile, reasonOf } from "../files.ts";
import { kineticsClips } from "./kinetics.ts";
import { listedClips } from "./list.ts";
import { somethingClips } from "./something.ts";
import { clipsBelow, type ClipSource, type FindOptions, lineOf, sourceOf } from "./source.ts";

export { type ClipSource, type FindOptions, lineOf };

/**
 * Finds videos with their labels, whatever names them:
 *
 * - a folder of class folders with videos, or with a folder of frames a video;
 * - a list, a video a line: path, then a label after a TAB, space or comma, as VideoMAE's; for
 *   folders of frames perhaps their number in between, which is not looked at;
 * - Kinetics' own lists, with the header `label,youtube_id,time_start,time_end,split`; `root` holds
 *   the videos as `id_000010_000020.mp4`, in class folders or not;
 * - Something-Something V2's train.json or validation.json; `root` holds the videos as `id.webm`.
 *
 * Videos that are not there stay in the result, to be counted and named where they are read.
 *
 * @throws {DataError} If there is nothing at the path, it is bad, or none of its videos is there.
 */
export async function findClips(path: string, options: FindOptions = {}): Promise<ClipSource> {
  const info = await Deno.stat(path).catch((cause) => {
    throw new DataError(`Cannot read ${path}: ${reasonOf(cause)}`, { cause });
  });
  if (info.isDirectory) return await clipFolder(path);
  const bytes = await readFile(path);
  if (bytes.subarray(0, 4096).includes(0)) {
    throw new DataError(`Cannot read ${path}: it is no list of videos`);
  }
  const text = new TextDecoder().decode(bytes);
  const found = path.endsWith(".json")
    ? await somethingClips(path, text, options)
    : /^label,youtube_id,|^youtube_id,/.test(text)
    ? await kineticsClips(path, text, options)
    : listedClips(path, text, options);
  await checkSome(path, found);
  return found;
}

/** Clips of a folder; classes if every clip lies in a subfolder. */
async function clipFolder(path: string): Promise<ClipSource> {
  const root = path.replace(/(?<=.)\/+$/, "");
  const names = await clipsBelow(root);
  if (names.length === 0) {
    throw new DataError(`Cannot use folder ${path}: it holds no video and no folder of frames`);
  }
  const files = names.map((name) => `${root}/${name}`);
  if (!names.every((name) => name.includes("/"))) return sourceOf(files, root, {});
  const classNames = names.map((name) => name.slice(0, name.indexOf("/")));
  const classes = [...new Set(classNames)].sort();
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  const labels = Int32Array.from(classNames, (name) => labelOf.get(name)!);
  return sourceOf(files, root, { labels, classes });
}

/** A wrong folder is an error at once, not as many bad files as there are lines. */
async function checkSome(path: string, source: ClipSource): Promise<void> {
  for (const file of source.files) {
    if (await Deno.stat(file).then(() => true, () => false)) return;
  }
  const [file] = source.files;
  throw new DataError(
    `Cannot use ${path}: none of its ${source.length} videos is there, such as ${file}${
      lineOf(source, file)
    }; give the folder that holds them`,
  );
}
