import { extname } from "node:path";

/** Samples by index; `get` of the same index gives the same sample. */
export interface Dataset<Sample> {
  readonly length: number;
  get(index: number): Promise<Sample>;
}

/** Data that the user must mend; the message is one sentence that names the path. */
export class DataError extends Error {
  override name = "DataError";
}

/** Images found in a folder. */
export interface ImageFolder {
  /** Paths that begin with the folder's, in code-unit order. */
  readonly files: string[];
  /** Index into `classes` of each file; only where every image lies in a subfolder. */
  readonly labels?: number[];
  /** Names of the folder's subfolders that hold images, in code-unit order. */
  readonly classes?: string[];
}

/** Extensions of image files. */
export const EXTENSION: RegExp = /\.(jpe?g|png|webp|gif|avif|tiff?|npy)$/i;

/**
 * Lists the JPEG, PNG, WebP, GIF, AVIF, TIFF and .npy files in a folder and its subfolders, by
 * extension.
 *
 * Hidden files are left out, and files are not opened, so some may turn out not to be images.
 *
 * @throws {DataError} If `dir` cannot be read, is no folder or holds no image.
 */
export async function imageFolder(dir: string): Promise<ImageFolder> {
  const root = dir.replace(/(?<=.)\/+$/, "");
  const names: string[] = [];
  try {
    for await (const name of filesBelow(root, "")) if (EXTENSION.test(name)) names.push(name);
  } catch (cause) {
    throw new DataError(`Cannot read folder ${dir}: ${reasonOf(cause)}`, { cause });
  }
  if (names.length === 0) {
    throw new DataError(
      `Cannot use folder ${dir}: it holds no JPEG, PNG, WebP, GIF, AVIF, TIFF or .npy image`,
    );
  }
  names.sort();
  const files = names.map((name) => `${root}/${name}`);
  if (!names.every((name) => name.includes("/"))) return { files };
  const classNames = names.map((name) => name.slice(0, name.indexOf("/")));
  const classes = [...new Set(classNames)].sort();
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  return { files, labels: classNames.map((name) => labelOf.get(name)!), classes };
}

/** Whether there is an image in a folder or its subfolders; false for what cannot be read. */
export async function holdsImages(dir: string): Promise<boolean> {
  try {
    for await (const name of filesBelow(dir, "")) if (EXTENSION.test(name)) return true;
  } catch { /* no folder, or a closed one */ }
  return false;
}

/**
 * Counts the files in a folder and its subfolders that are no images by extension, nor hidden.
 *
 * @returns Numbers of files by extension, such as `.bmp`; `""` for those without.
 */
export async function ignoredFiles(dir: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for await (const name of filesBelow(dir, "")) {
    if (EXTENSION.test(name)) continue;
    const extension = extname(name).toLowerCase();
    counts[extension] = (counts[extension] ?? 0) + 1;
  }
  return counts;
}

/** Paths of files relative to `root`, each beginning with `prefix`; without hidden ones. */
async function* filesBelow(root: string, prefix: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(`${root}/${prefix}`)) {
    if (entry.name.startsWith(".")) continue;
    const name = prefix + entry.name;
    const { isDirectory, isFile } = entry.isSymlink ? await target(`${root}/${name}`) : entry;
    if (isDirectory) yield* filesBelow(root, `${name}/`);
    else if (isFile) yield name;
  }
}

/** What a link leads to; a broken one passes for a file, to be reported with the bad images. */
function target(link: string): Promise<{ isDirectory: boolean; isFile: boolean }> {
  return Deno.stat(link).catch(() => ({ isDirectory: false, isFile: true }));
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such folder";
  if (error instanceof Deno.errors.NotADirectory) return "it is not a folder";
  return (error as Error).message;
}
