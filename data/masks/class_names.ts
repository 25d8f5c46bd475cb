import { DataError } from "../dataset.ts";
import { readFile } from "../files.ts";

/**
 * Reads the names of classes that lie beside masks: `classes.txt`, a name a line, or ADE20K's
 * `objectInfo150.txt`, whose last column holds names, of which the first is taken.
 *
 * @returns Nothing if neither file is there.
 * @throws {DataError} If a file cannot be read or lacks a name.
 */
export async function classNames(
  root: string,
): Promise<{ readonly classes?: readonly string[] }> {
  for (const [file, parse] of Object.entries({ "classes.txt": plain, "objectInfo150.txt": ade })) {
    const path = `${root}/${file}`;
    if (!await Deno.stat(path).then(() => true, () => false)) continue;
    const classes = parse(new TextDecoder().decode(await readFile(path)).trimEnd().split("\n"))
      .map((name) => name.trim());
    const unnamed = classes.indexOf("");
    if (unnamed >= 0) throw new DataError(`Cannot read ${path}: class ${unnamed} has no name`);
    return { classes };
  }
  return {};
}

function plain(lines: readonly string[]): string[] {
  return [...lines];
}

/** The first line is a header. */
function ade(lines: readonly string[]): string[] {
  return lines.slice(1).map((line) => line.slice(line.lastIndexOf("\t") + 1).split(",")[0]);
}
