/**
 * From a recipe's data settings to clips to train and to validate on.
 *
 * @module
 */
import { normaliser } from "../../data/augment.ts";
import { DataError } from "../../data/dataset.ts";
import { type ClipSource, findClips } from "../../data/clips/find.ts";
import { alignClasses } from "../../data/labels.ts";
import { holdOut } from "../../data/split.ts";
import { MOTIONS, type SampleSettings } from "../recipe.ts";
import { UsageError } from "../usage.ts";
import { makeMotions } from "./motions.ts";
import type { ClipDataSettings } from "./recipe.ts";

/** Clips to train on and, where there are some, to validate on. */
export interface ClipSplits {
  readonly train: ClipSource;
  /** In other videos than `train`, with its classes. */
  readonly val?: ClipSource;
}

/**
 * Opens the clips of a recipe, in any form that `findClips` knows.
 *
 * Those to validate on are those of `valPath`, else the share `valShare` of the videos.
 * `bundled:motions` are clips made of the bundled photos, without those of the test split.
 *
 * @throws {UsageError} If a folder or file that was asked for is missing, empty or bad.
 */
export async function openClips(
  { path, valPath, valShare, root, cache }: Pick<
    ClipDataSettings,
    "path" | "valPath" | "valShare" | "root" | "cache"
  >,
): Promise<ClipSplits> {
  if (path === null) throw new UsageError("Cannot open clips: data.path is null");
  try {
    if (cache !== null) await Deno.mkdir(cache, { recursive: true });
    const train = await findIn(path, root, "train");
    if (valPath !== null) {
      const val = await findIn(valPath, root, "test");
      return { train, val: alignClasses(val, train, valPath) as ClipSource };
    }
    if (valShare === 0) return { train };
    const parts = holdOut(train, valShare) as Required<ClipSplits>;
    if (parts.train.length > 0 && parts.val.length > 0) return parts;
    throw new UsageError(
      `Recipe field data.valShare: ${valShare} of ${train.length} videos leaves none ` +
        `${parts.val.length === 0 ? "to validate on" : "to train on"}`,
    );
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

/** The clips at a path; of `bundled:motions` those of a split. */
export async function findIn(
  path: string,
  root: string | null,
  split: "train" | "test",
): Promise<ClipSource> {
  if (path === MOTIONS) return await findClips(`${await makeMotions()}/${split}`);
  return await findClips(path, { ...(root !== null && { root }) });
}

/**
 * Scales pixels to 0 … 1 and normalises each channel.
 *
 * @param clips RGB `[…, 3]`.
 */
export function normaliseClips(
  clips: Uint8Array<ArrayBuffer>,
  { mean, std }: Pick<SampleSettings, "mean" | "std">,
): Float32Array<ArrayBuffer> {
  const row = { width: clips.length / 3, height: 1, channels: 3, pixels: clips };
  return normaliser(mean, std)(row);
}
