/**
 * From a recipe's data settings to images with things, to train and to validate on.
 *
 * @module
 */
import { DataError } from "../../data/dataset.ts";
import { findThings } from "../../data/things/find.ts";
import { holdOutThings, type ThingSource, withThings } from "../../data/things/source.ts";
import type { ImageSplits } from "../images.ts";
import { SCENES, UsageError } from "../recipe.ts";
import { makeScenes } from "../segment/scenes.ts";
import type { ThingDataSettings } from "./recipe.ts";

/** Images to train on, which all show something, and, where there are some, to validate on. */
export interface ThingSplits {
  readonly train: ThingSource;
  readonly val?: ThingSource;
  readonly classNames: readonly string[];
}

/**
 * Opens the images of a recipe, in any form that `findThings` knows; `bundled:scenes` are things before
 * the bundled photos.
 *
 * Those to validate on are those of `valPath`; else the split that the folder at `path` tells; else the
 * share `valShare` of the images.
 *
 * @throws {UsageError} If a folder that was asked for is missing, empty or bad.
 */
export async function openThings(
  { path, valPath, valShare }: Pick<ThingDataSettings, "path" | "valPath" | "valShare">,
): Promise<ThingSplits> {
  if (path === null) throw new UsageError("Name the images and annotations: add --data DIR");
  try {
    const found = await findThings(path === SCENES ? await makeScenes() : path);
    const other = valPath === null ? undefined : await findThings(valPath);
    const splits = other
      ? { train: found.train, val: other.val ?? other.train }
      : found.val || valShare === 0
      ? found
      : holdOutThings(found.train, valShare);
    const train = withThings(splits.train);
    if (train.length === 0) {
      throw new UsageError(`Cannot train on ${path}: no image of it shows an annotated thing`);
    }
    const classNames = train.categories.map(({ name }) => name);
    const names = splits.val?.categories.map(({ name }) => name);
    if (names && names.join("\n") !== classNames.join("\n")) {
      throw new UsageError(`Cannot use ${valPath}: its categories are not those of ${path}`);
    }
    return { train, ...(splits.val && { val: splits.val }), classNames };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

/** The images of a source, as runs keep and count them. */
export function imagesOf({ train, val }: ThingSplits): ImageSplits {
  const files = ({ images, root, length }: ThingSource) =>
    ({ kind: "files", files: images, root, length }) as const;
  return { train: files(train), ...(val && { val: files(val) }) };
}
