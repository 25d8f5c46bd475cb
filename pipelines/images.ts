/**
 * From a recipe's data settings to images to train and to validate on.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { DataError } from "../data/dataset.ts";
import { reasonOf } from "../data/files.ts";
import { findImages } from "../data/find.ts";
import { alignClasses } from "../data/labels.ts";
import type { ImageSource } from "../data/source.ts";
import { holdOut } from "../data/split.ts";
import { BUNDLED, type DataSettings } from "./recipe.ts";
import { UsageError } from "./usage.ts";

/**
 * The folder of photos that come with the project.
 *
 * @throws {DataError} If the module was not loaded from a folder.
 */
export function photosFolder(): string {
  if (!import.meta.url.startsWith("file:")) {
    throw new DataError("Cannot read the bundled photos over the network: name a folder of images");
  }
  return fileURLToPath(new URL("../data/photos", import.meta.url));
}

/** Images to train on and, where there are some, to validate on. */
export interface ImageSplits {
  readonly train: ImageSource;
  /** In other samples than `train`, with its classes. */
  readonly val?: ImageSource;
}

/**
 * Opens the images of a recipe, in any form that `findImages` knows.
 *
 * Those to validate on are those of `valPath`; else the share `valShare` of the samples to train on,
 * which a hash of their names holds out for good; else the split that the names at `path` tell. So a
 * share leaves images that came for a test unseen.
 *
 * @throws {UsageError} If a folder or file that was asked for is missing, empty or bad, or the
 * share leaves no image on one side.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openImages } from "@mcmae/mcmae";
 *
 * const { train, val } = await openImages({ path: "bundled:photos", valShare: 0.2 });
 * assert.ok(val!.length < train.length);
 * ```
 */
export async function openImages(
  settings: Pick<DataSettings, "path"> & Partial<DataSettings>,
): Promise<ImageSplits> {
  const { path, valPath = null, valShare = 0, cache = null } = settings;
  if (path === null) throw new UsageError("Cannot open images: data.path is null");
  try {
    if (cache !== null) await makeFolder(cache);
    const { train, val } = await findImages(path === BUNDLED ? photosFolder() : path, cache);
    if (valPath !== null) {
      const other = await findImages(valPath === BUNDLED ? photosFolder() : valPath, cache);
      return { train, val: alignClasses(other.val ?? other.train, train, valPath) };
    }
    if (valShare === 0) return val ? { train, val: alignClasses(val, train, path) } : { train };
    const parts = holdOut(train, valShare);
    if (parts.train.length === 0) {
      throw new DataError(
        `Cannot hold out ${valShare} of ${path}: none of its ${train.length} images is left`,
      );
    }
    if (parts.val.length === 0) {
      throw new UsageError(
        `Recipe field data.valShare is too small: ${valShare} of ${train.length} images holds none out`,
      );
    }
    return parts;
  } catch (error) {
    if (!(error instanceof DataError) || path === BUNDLED && valPath === null && cache === null) {
      throw error;
    }
    throw new UsageError(error.message, { cause: error });
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (cause) {
    throw new DataError(`Cannot make folder ${path}: ${reasonOf(cause)}`, { cause });
  }
}
