/**
 * Clips with classes, as fine-tuning and evaluation need them.
 *
 * @module
 */
import type { ClipSource } from "../../data/clips/find.ts";
import { classesOf } from "../labelled.ts";
import { UsageError } from "../usage.ts";
import { type ClipSplits, heldOutClips, openClips } from "./clips.ts";
import type { ClipDataSettings } from "./recipe.ts";

/** Clips that all have a label. */
export interface LabelledClips extends ClipSplits {
  /** Number of classes, K: of their names, else one more than the largest label to train on. */
  readonly classes: number;
  readonly classNames?: readonly string[];
}

/**
 * Opens clips as `openClips` does, and checks that each one has a class.
 *
 * @throws {UsageError} If clips have no labels, or all have the same. Also as `openClips`.
 */
export async function labelledClips(
  settings: Pick<ClipDataSettings, "path" | "valPath" | "valShare" | "root" | "cache">,
): Promise<LabelledClips> {
  const { train, val } = await openClips(settings);
  const path = settings.path!;
  const valPath = settings.valPath ?? path;
  checkLabels(train, path);
  if (val) checkLabels(val, valPath);
  return { train, ...(val && { val }), ...classesOf(train, val, path, valPath, "videos") };
}

/**
 * Clips to evaluate on, as `heldOutClips` finds them.
 *
 * @throws {UsageError} As {@linkcode labelledClips}.
 */
export async function evaluatedClips(
  ...args: Parameters<typeof heldOutClips>
): ReturnType<typeof heldOutClips> {
  const found = await heldOutClips(...args);
  checkLabels(found.source, args[0]);
  return found;
}

/** @throws {UsageError} If a video has no label. */
function checkLabels({ length, labels, listed }: ClipSource, name: string): void {
  const missing = labels ? labels.filter((label) => label < 0).length : length;
  if (missing === 0) return;
  const what = missing === length
    ? "its videos have no labels"
    : `${missing} of its ${length} videos ${missing === 1 ? "has" : "have"} no label`;
  const advice = listed
    ? "write a label behind each path"
    : "put each one into a folder with the name of its class";
  throw new UsageError(`Cannot use ${name}: ${what}; ${advice}`);
}
