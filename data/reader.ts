import { type CacheSettings, openCache } from "./cache.ts";
import { DataError, type Dataset } from "./dataset.ts";
import { decodeBytes, withChannels } from "./decode.ts";
import { readFile, readPart, type Stamp } from "./files.ts";
import { idxImages } from "./idx.ts";
import type { Place } from "./place.ts";
import type { Image } from "./resize.ts";

/** An image, and what became known on the way. */
export interface Read {
  readonly image: Image;
  /** Of the file, if the cache asked for it. */
  readonly stamp?: Stamp;
  /** Why the cache is no longer written. */
  readonly warning?: string;
}

/**
 * Makes a reader of images; it keeps IDX files in memory once they are read.
 *
 * @param channels The images' own bands if left out.
 * @returns A function that throws DataError for a bad image.
 */
export function openReader(
  channels?: number,
  cache?: CacheSettings,
): (place: Place) => Promise<Read> {
  const opened = new Map<string, Promise<Dataset<Image>>>();
  const fromIdx = async ({ file, name, idx }: Place): Promise<Image> => {
    if (!opened.has(file)) opened.set(file, idxImages(file));
    const images = await opened.get(file)!;
    if (images.length !== idx!.total) {
      throw new DataError(
        `Cannot use ${file}: it holds ${images.length} images, not ${idx!.total}`,
      );
    }
    return withChannels(await images.get(idx!.index), name, channels);
  };
  const decode = async (place: Place) => decodeBytes(await bytesAt(place), place.name, channels);
  const cached = cache && openCache(cache, channels, decode);
  return async (place) => {
    if (place.idx) return { image: await fromIdx(place) };
    return cached ? await cached(place) : { image: await decode(place) };
  };
}

/**
 * Reads the bytes at a place.
 *
 * @throws {DataError} If they cannot be read.
 */
export async function bytesAt({ file, name, part }: Place): Promise<Uint8Array<ArrayBuffer>> {
  return part ? await readPart(file, part, name) : await readFile(file);
}
