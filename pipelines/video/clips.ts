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

/** Subfolders that are held out, where there is `train` too. */
const HELD_OUT = ["val", "validation", "valid", "test"];

/**
 * Opens the clips of a recipe, in any form that `findClips` knows, or a folder with `train` and `val`
 * (`validation`, `valid`) in it.
 *
 * Those to validate on are those of `valPath`, else the share `valShare` of the videos to train on,
 * else those of that subfolder. A subfolder `test` is left alone. `bundled:motions` are clips made of
 * the bundled photos.
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
  if (path === MOTIONS && valShare > 0) {
    throw new UsageError(`Recipe field data.valShare: of ${path}, clips of a photo would part`);
  }
  try {
    if (cache !== null) await Deno.mkdir(cache, { recursive: true });
    const { train: folder, heldOut } = await splitsIn(path);
    const train = await find(folder, root);
    const valFolder = valPath !== null
      ? (await splitsIn(valPath)).heldOut ?? valPath
      : valShare > 0 || heldOut?.endsWith("/test")
      ? undefined
      : heldOut;
    if (valFolder !== undefined) {
      const val = await find(valFolder, root);
      return { train, val: alignClasses(val, train, valFolder) as ClipSource };
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

/**
 * Clips that a run did not train on: the share of those at a path that it held out, else a folder's
 * `val` or `test`; all of them where there is no split.
 *
 * @throws {UsageError} As {@linkcode openClips}.
 */
export async function heldOutClips(
  path: string,
  { root, valShare }: Pick<ClipDataSettings, "root" | "valShare">,
): Promise<{ readonly source: ClipSource; readonly isHeldOut: boolean }> {
  if (valShare > 0) {
    const { val } = await openClips({ path, root, valShare, valPath: null, cache: null });
    return { source: val!, isHeldOut: true };
  }
  const { heldOut } = await splitsIn(path);
  try {
    return { source: await find(heldOut ?? path, root), isHeldOut: heldOut !== undefined };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

/** Where the clips to train on are, and those held out if a folder has both. */
async function splitsIn(path: string): Promise<{ train: string; heldOut?: string }> {
  const folder = path === MOTIONS ? await makeMotions() : path;
  const isFolder = async (name: string) =>
    (await Deno.stat(`${folder}/${name}`).catch(() => ({ isDirectory: false }))).isDirectory;
  if (await isFolder("train")) {
    for (const name of HELD_OUT) {
      if (await isFolder(name)) return { train: `${folder}/train`, heldOut: `${folder}/${name}` };
    }
  }
  return { train: folder };
}

async function find(path: string, root: string | null): Promise<ClipSource> {
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
