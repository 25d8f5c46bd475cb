import type { CacheSettings } from "./cache.ts";
import type { Dataset } from "./dataset.ts";
import type { Stamp } from "./files.ts";
import { type Names, placeOf } from "./place.ts";
import { openReader } from "./reader.ts";
import type { Image } from "./resize.ts";

/** What every source has. */
interface Samples {
  readonly length: number;
  /** Label of each sample; an index into `classes` where they have names; -1 where unknown. */
  readonly labels?: Int32Array;
  readonly classes?: readonly string[];
}

/** Files of one image each. */
export interface FileSource extends Samples {
  readonly kind: "files";
  readonly files: readonly string[];
  /** Folder that names of samples begin below. */
  readonly root?: string;
  /** Whether a list names the files; else they are all the images below `root`. */
  readonly listed?: true;
}

/** Members of tar files. */
export interface ShardSource extends Samples {
  readonly kind: "shards";
  readonly shards: readonly Shard[];
  /** Where each sample lies: index of its shard, and its bytes there. */
  readonly shard: Uint32Array;
  readonly offset: Float64Array;
  readonly size: Float64Array;
  readonly names: Names;
}

/** A tar file; `file` is where it lies uncompressed. */
export interface Shard extends Stamp {
  readonly name: string;
  readonly file: string;
}

/** Images of an IDX file. */
export interface IdxSource extends Samples {
  readonly kind: "idx";
  readonly path: string;
  /** Which of its images, and how many it holds; all of them unless given. */
  readonly pick?: Uint32Array;
  readonly total?: number;
}

/**
 * Where images come from: plain data, so that it can be posted to a worker, and small enough for
 * millions of samples.
 */
export type ImageSource = FileSource | ShardSource | IdxSource;

/**
 * Opens a source to read its images here, without workers.
 *
 * @returns A dataset whose `get` throws DataError for a bad image.
 */
export function openSource(
  source: ImageSource,
  channels: number,
  cache?: CacheSettings,
): Promise<Dataset<Image>> {
  const read = openReader(channels, cache);
  return Promise.resolve({
    length: source.length,
    get: async (index) => (await read(placeOf(source, index))).image,
  });
}
