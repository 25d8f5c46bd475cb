import { DataError } from "../dataset.ts";
import { labelsOf } from "../labels.ts";
import { clipsBelow, type ClipSource, type FindOptions, listSource } from "./source.ts";
import { VIDEO } from "./video.ts";

/**
 * Reads one of Kinetics' own lists (arXiv:1705.06950), with the videos below `root`.
 *
 * @throws {DataError} If `root` is left out, or a line is no clip.
 */
export async function kineticsClips(
  path: string,
  text: string,
  { root }: FindOptions,
): Promise<ClipSource> {
  if (root === undefined) {
    throw new DataError(
      `Cannot use ${path}: it names videos by their YouTube id; also give the folder that holds them`,
    );
  }
  const [header, ...rows] = text.split("\n").map((line) => line.trim());
  const columns = header.split(",");
  const names = await clipsBelow(root);
  const byStem = new Map(names.map((name) => [stemOf(name), name]));
  const [files, lines, words]: [string[], number[], (string | undefined)[]] = [[], [], []];
  rows.forEach((row, i) => {
    if (row === "") return;
    // Cells, which may be quoted.
    const cells = [...row.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)]
      .map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain);
    const cell = (name: string) => cells[columns.indexOf(name)];
    const [id, start, end] = ["youtube_id", "time_start", "time_end"].map(cell);
    if (!id || !/^\d+$/.test(start ?? "") || !/^\d+$/.test(end ?? "")) {
      throw new DataError(`Cannot read ${path}: line ${i + 2} is no clip of Kinetics: ${row}`);
    }
    const stem = [id, start.padStart(6, "0"), end.padStart(6, "0")].join("_");
    files.push(`${root}/${byStem.get(stem) ?? byStem.get(id) ?? `${stem}.mp4`}`);
    lines.push(i + 2);
    words.push(cell("label"));
  });
  if (files.length === 0) throw new DataError(`Cannot use ${path}: it lists no video`);
  return listSource(path, files, lines, root, labelsOf(words));
}

function stemOf(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1).replace(VIDEO, "");
}
