import { dirname, isAbsolute } from "node:path";
import { DataError } from "./dataset.ts";
import { readFile } from "./files.ts";
import { labelsOf } from "./labels.ts";
import type { FileSource } from "./source.ts";

/**
 * Reads a list of images: a line holds a path and perhaps a label, after a TAB (then either may
 * hold spaces) or a space. Paths are relative to the list's folder; labels are whole numbers or
 * names; empty lines and those that begin with `#` are skipped.
 *
 * The listed files are not looked at, so some may turn out to be missing.
 *
 * @throws {DataError} If the list cannot be read, names no file, separates words by commas, or a
 * line has too many words.
 */
export async function listImages(path: string): Promise<FileSource> {
  const bytes = await readFile(path);
  if (bytes.subarray(0, 4096).includes(0)) {
    throw new DataError(`Cannot read ${path}: it is no list of images, tar shard or IDX file`);
  }
  const root = dirname(path);
  const files: string[] = [];
  const words: (string | undefined)[] = [];
  let firstLine = 0;
  new TextDecoder().decode(bytes).split("\n").forEach((text, number) => {
    const line = text.trim();
    if (line === "" || line.startsWith("#")) return;
    const [file, label, ...rest] = line.includes("\t")
      ? line.split("\t").map((word) => word.trim())
      : line.split(/ +/);
    if (rest.length > 0) {
      throw new DataError(
        `Cannot read ${path}: line ${number + 1} is no path and label; put a TAB between them`,
      );
    }
    firstLine ||= number + 1;
    files.push(isAbsolute(file) ? file : `${root}/${file}`);
    words.push(label);
  });
  if (files.length === 0) throw new DataError(`Cannot use ${path}: it lists no image`);
  const unlabelled = words.every((word) => word === undefined);
  if (unlabelled && files.every((file) => file.includes(",")) && !await exists(files[0])) {
    throw new DataError(
      `Cannot read ${path}: line ${firstLine} has a comma but no TAB or space: ` +
        "put a TAB between path and label",
    );
  }
  const labels = labelsOf(words);
  return { kind: "files", files, root, listed: true, length: files.length, ...labels };
}

function exists(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => true, () => false);
}
