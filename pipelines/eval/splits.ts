/**
 * Which images of a data set to look at.
 *
 * @module
 */
import type { ImageSource } from "../../data/source.ts";
import { openImages } from "../images.ts";
import { UsageError } from "../usage.ts";

/** Images of one or several splits, by the split's name; a data set without splits has none. */
export type Splits = readonly (readonly [name: string | undefined, source: ImageSource])[];

/**
 * Opens the images of a folder, list, shards or IDX file.
 *
 * @param split `train`, `val` or `all`.
 * @throws {UsageError} If there is no such split, or no image.
 */
export async function openSplits(path: string, split: string): Promise<Splits> {
  if (!["train", "val", "all"].includes(split)) {
    throw new UsageError(`Option --split expects train, val or all, got ${split || "nothing"}`);
  }
  const { train, val } = await openImages({ path });
  if (split === "all") return val ? [["train", train], ["val", val]] : [[undefined, train]];
  if (val) return [[split, split === "val" ? val : train]];
  throw new UsageError(`Cannot use --split ${split}: ${path} has no splits train and val`);
}

/** Images to make pictures of: those of a split, else those to validate on, else all. */
export async function openShown(path: string, split: string | undefined): Promise<ImageSource> {
  if (split !== undefined && split !== "all") return (await openSplits(path, split))[0][1];
  const splits = await openSplits(path, "all");
  return splits.at(-1)![1];
}
