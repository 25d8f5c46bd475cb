/**
 * From a recipe's data settings to images with masks, to train and to validate on.
 *
 * @module
 */
import { DataError } from "../../data/dataset.ts";
import { findMasks } from "../../data/masks/find.ts";
import { holdOutMasks, type MaskSource } from "../../data/masks/source.ts";
import type { ImageSplits } from "../images.ts";
import { SCENES, UsageError } from "../recipe.ts";
import type { MaskDataSettings } from "./recipe.ts";
import { makeScenes } from "./scenes.ts";

/** Pairs to train on and, where there are some, to validate on. */
export interface MaskSplits {
  readonly train: MaskSource;
  readonly val?: MaskSource;
  /** Number of classes, K. */
  readonly classes: number;
  readonly classNames?: readonly string[];
}

/**
 * Opens the pairs of a recipe, in any form that `findMasks` knows; `bundled:scenes` are things before
 * the bundled photos.
 *
 * Those to validate on are those of `valPath`; else the split that the folders at `path` tell; else the
 * share `valShare` of the pairs.
 *
 * @param otherwise Number of classes where neither the data nor the settings tell it.
 * @throws {UsageError} If a folder that was asked for is missing, empty or bad, a pair is not whole,
 * or the number of classes is not known.
 */
export async function openMasks(
  settings: Pick<MaskDataSettings, "path" | "valPath" | "valShare" | "classes">,
  otherwise?: number,
): Promise<MaskSplits> {
  const { path, valPath, valShare } = settings;
  if (path === null) throw new UsageError("Name the images and their masks: add --data DIR");
  try {
    const found = await findMasks(path === SCENES ? await makeScenes() : path);
    const splits = valPath !== null
      ? { train: found.train, val: ofEither(await findMasks(valPath)) }
      : found.val || valShare === 0
      ? found
      : holdOutMasks(found.train, valShare);
    for (const [name, source] of Object.entries(splits) as [string, MaskSource][]) {
      if (source.length > 0) continue;
      throw new UsageError(
        `Recipe field data.valShare: ${valShare} of ${found.train.length} pairs leaves none to ${
          name === "val" ? "validate" : "train"
        } on`,
      );
    }
    return { ...splits, ...classesOf(splits.train, settings, path, otherwise) };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

function ofEither({ train, val }: Awaited<ReturnType<typeof findMasks>>): MaskSource {
  return val ?? train;
}

/** @throws {UsageError} If neither the data nor the recipe tell the number of classes, or they differ. */
function classesOf(
  { classes: names }: MaskSource,
  { classes }: Pick<MaskDataSettings, "classes">,
  path: string,
  otherwise?: number,
): Pick<MaskSplits, "classes" | "classNames"> {
  const count = classes ?? names?.length ?? otherwise;
  if (count === undefined) {
    throw new UsageError(
      `Cannot tell the classes of ${path}: give data.classes=N, or name them in its classes.txt, ` +
        "a line each",
    );
  }
  if (classes !== null && names && names.length !== classes) {
    throw new UsageError(
      `Recipe field data.classes is ${classes}, but ${path} names ${names.length} classes`,
    );
  }
  return { classes: count, ...(names && { classNames: names }) };
}

/** The images of pairs, as runs keep and count them. */
export function imagesOf({ train, val }: MaskSplits): ImageSplits {
  const files = ({ images, root, length }: MaskSource) =>
    ({ kind: "files", files: images, root, length }) as const;
  return { train: files(train), ...(val && { val: files(val) }) };
}
