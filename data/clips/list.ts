import { dirname, isAbsolute } from "node:path";
import { DataError } from "../dataset.ts";
import { type Labels, labelsOf } from "../labels.ts";
import { type ClipSource, type FindOptions, listSource } from "./source.ts";
import { VIDEO } from "./video.ts";

/** A line's path and label, the latter after the last TAB, space or comma. */
function parseLine(text: string): { path: string; label?: string } | undefined {
  const [, left, label] = text.match(/^(.*[^\s,])(?:\s*,\s*|\s+)([^\s,]+)$/) ?? [];
  if (left === undefined || VIDEO.test(text)) {
    return /[,\s]$/.test(text) ? undefined : { path: unquote(text) };
  }
  // With a folder of frames, their number stands in between.
  const [, folder] = left.match(/^(\S+)[\s,]\d+$/) ?? [];
  return { path: unquote(folder ?? left), label };
}

function unquote(text: string): string {
  return text.replace(/^"(.*)"$/, "$1");
}

/**
 * Reads a list, a video a line: path, then a label after a TAB, space or comma.
 *
 * @throws {DataError} If a line has no path or label, or a label is out of range.
 */
export function listedClips(
  path: string,
  text: string,
  { root = dirname(path), classes }: FindOptions,
): ClipSource {
  const malformed = (line: number, what: string) =>
    new DataError(`Cannot read ${path}: line ${line} ${what}`);
  const [files, lines, words]: [string[], number[], (string | undefined)[]] = [[], [], []];
  text.split("\n").forEach((raw, i) => {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) return;
    if (files.length === 0 && /^(path|video|file|filename|name)[\s,]+label$/i.test(line)) return;
    const parsed = parseLine(line);
    if (!parsed) throw malformed(i + 1, `is no path and label: ${line}`);
    files.push(isAbsolute(parsed.path) ? parsed.path : `${root}/${parsed.path}`);
    lines.push(i + 1);
    words.push(parsed.label);
  });
  if (files.length === 0) throw new DataError(`Cannot use ${path}: it lists no video`);
  const bare = words.indexOf(undefined);
  if (bare >= 0 && words.some((word) => word !== undefined)) {
    throw malformed(lines[bare], "has no label, unlike others");
  }
  const labels = bare >= 0 ? {} : numbersOf(words as string[], classes, (i, what) => {
    throw malformed(lines[i], what);
  });
  return listSource(path, files, lines, root, labels ?? labelsOf(words));
}

/** Labels that are numbers, -1 where unknown; undefined if they are names. */
function numbersOf(
  words: readonly string[],
  classes: number | undefined,
  fail: (index: number, what: string) => never,
): Labels | undefined {
  const named = words.findIndex((word) => !/^-?\d{1,9}$/.test(word));
  if (named >= 0) {
    if (classes === undefined) return undefined;
    fail(named, `has the label "${words[named]}", not a number below ${classes}`);
  }
  const labels = Int32Array.from(words, Number);
  const bad = labels.findIndex((label) => label < -1 || label >= (classes ?? Infinity));
  if (bad >= 0) {
    const range = classes === undefined ? "not -1 or more" : `not in 0 … ${classes - 1}`;
    fail(bad, `has the label ${labels[bad]}, ${range}`);
  }
  return { labels };
}
