/**
 * A folder of decoded images, each shrunk once to the size that training needs and kept as .npy,
 * so that later epochs read few bytes and decode nothing.
 *
 * A file's name is a hash of all that decides its pixels: where the original lies, its size and
 * time, the side and the channels. Nothing is ever removed; the folder may be deleted at any time.
 */

import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { DataError } from "./dataset.ts";
import { readFile, reasonOf, stampOf, writeAtomically } from "./files.ts";
import { encodeNpy, parseNpy } from "./npy.ts";
import type { Place } from "./place.ts";
import type { Read } from "./reader.ts";
import { type Image, resize } from "./resize.ts";

/** Where to cache and how large. */
export interface CacheSettings {
  readonly folder: string;
  /** Short side in pixels; smaller images keep their size. */
  readonly side: number;
}

/**
 * Puts a cache before `decode`.
 *
 * @param channels What `decode` gives; part of the key.
 * @returns A function that reads an image from the cache, or decodes, shrinks and keeps it. When a
 * file cannot be written, say on a full disk, it goes on without writing and warns once.
 */
export function openCache(
  { folder, side }: CacheSettings,
  channels: number | undefined,
  decode: (place: Place) => Promise<Image>,
): (place: Place) => Promise<Read> {
  let writes = true;
  return async (place) => {
    const stamp = place.stamp ?? await stampOf(place.file);
    const path = cachePath(folder, "npy", [
      ...[resolve(place.file), place.part?.offset ?? null, stamp.size, stamp.mtime],
      ...[side, channels ?? null],
    ]);
    const kept = await readCached(path);
    if (kept) return { image: kept, stamp };
    const image = shrink(await decode(place), side);
    if (!writes) return { image, stamp };
    try {
      await writeAtomically(path, encodeNpy(image));
      return { image, stamp };
    } catch (error) {
      writes = false;
      const warning = `Cannot write to cache ${folder}: ${reasonOf(error)}; going on without`;
      return { image, stamp, warning };
    }
  };
}

/** Path of what `parts` decide: `<folder>/<two digits>/<SHA-256>.<extension>`. */
export function cachePath(
  folder: string,
  extension: string,
  parts: readonly (string | number | null)[],
): string {
  const hash = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  return `${folder}/${hash.slice(0, 2)}/${hash}.${extension}`;
}

/** Shrinks an image, bicubic, until its short side is `side`; never enlarges. */
export function shrink(image: Image, side: number): Image {
  const { width, height } = image;
  const short = Math.min(width, height);
  if (short <= side) return image;
  const [w, h] = [width, height].map((length) => Math.trunc(side * length / short));
  return resize(image, w, h, "bicubic");
}

/** A kept image; a damaged file passes for none. */
async function readCached(path: string): Promise<Image | undefined> {
  try {
    return parseNpy(await readFile(path), path);
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}
