import { dirname } from "node:path";
import { DataError } from "../dataset.ts";
import { readFile } from "../files.ts";
import { type ClipSource, type FindOptions, sourceOf } from "./source.ts";

/**
 * Reads a list of Something-Something V2 (arXiv:1706.04261), whose classes labels.json numbers by
 * their templates, without brackets.
 *
 * @throws {DataError} If it is no such list, or a template is not in labels.json.
 */
export async function somethingClips(
  path: string,
  text: string,
  { root = dirname(path), labels: labelsPath = `${dirname(path)}/labels.json` }: FindOptions,
): Promise<ClipSource> {
  const entries = parseJson(path, text);
  if (!Array.isArray(entries) || entries.length === 0) {
    throw new DataError(`Cannot read ${path}: it is no list of videos as Something-Something's`);
  }
  const isLabelled = entries.some((entry) => entry?.template !== undefined);
  const classes = isLabelled ? await somethingClasses(labelsPath) : [];
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  const labels = Int32Array.from(entries, (entry, i) => {
    if (!/^[\w-]+$/.test(String(entry?.id ?? ""))) {
      throw new DataError(`Cannot read ${path}: entry ${i + 1} has no id`);
    }
    if (entry.template === undefined) return -1;
    const template = String(entry.template).replace(/[[\]]/g, "");
    const label = labelOf.get(template);
    if (label !== undefined) return label;
    throw new DataError(
      `Cannot use ${path}: the template of video ${entry.id}, "${template}", is not in ${labelsPath}`,
    );
  });
  const files = entries.map(({ id }) => `${root}/${id}.webm`);
  return {
    ...sourceOf(files, root, isLabelled ? { labels, classes } : {}),
    listed: true,
    list: { path, lines: new Map() },
  };
}

/** Names of the classes, by their numbers. */
async function somethingClasses(path: string): Promise<string[]> {
  const found = parseJson(path, new TextDecoder().decode(await readFile(path)));
  const pairs = Object.entries(found ?? {});
  const classes: string[] = [];
  for (const [name, number] of pairs) {
    const label = Number(number);
    if (!(Number.isInteger(label) && label >= 0 && label < pairs.length) || label in classes) {
      throw new DataError(
        `Cannot use ${path}: the number of "${name}" is ${number}, not one of its own in 0 … ${
          pairs.length - 1
        }`,
      );
    }
    classes[label] = name;
  }
  return classes;
}

// deno-lint-ignore no-explicit-any -- looked at where it is used
function parseJson(path: string, text: string): any {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(`Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}
