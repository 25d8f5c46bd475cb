import type { Stamp } from "./files.ts";
import type { ImageSource } from "./source.ts";

/** Where one image lies: a file, a part of one, or an image of an IDX file. Plain data. */
export interface Place {
  /** What messages call it. */
  readonly name: string;
  readonly file: string;
  /** Bytes of the file, if not all of them. */
  readonly part?: { readonly offset: number; readonly size: number };
  /** Which image of an IDX file that holds `total`. */
  readonly idx?: { readonly index: number; readonly total: number };
  /** Of the file, where known; saves asking the file system. */
  readonly stamp?: Stamp;
}

/** Many strings in two arrays. */
export interface Names {
  /** UTF-8 of all of them. */
  readonly bytes: Uint8Array;
  /** Where each one ends. */
  readonly ends: Uint32Array;
}

/** Packs strings, of 4 GiB at most together. */
export function packNames(names: readonly string[]): Names {
  const encoder = new TextEncoder();
  const ends = new Uint32Array(names.length);
  let bytes = new Uint8Array(64 * names.length);
  let end = 0;
  names.forEach((name, i) => {
    if (end + 3 * name.length > bytes.length) {
      const longer = new Uint8Array(2 * bytes.length + 3 * name.length);
      longer.set(bytes);
      bytes = longer;
    }
    ends[i] = end += encoder.encodeInto(name, bytes.subarray(end)).written;
  });
  return { bytes: bytes.slice(0, end), ends };
}

/**
 * Name of a sample within its source: a path below the source's folder, a tar member, or a number.
 * It does not change when the data are moved.
 */
export function sampleName(source: ImageSource, index: number): string {
  if (source.kind === "idx") return String(source.pick?.[index] ?? index);
  if (source.kind === "shards") {
    const { bytes, ends } = source.names;
    return new TextDecoder().decode(bytes.subarray(index && ends[index - 1], ends[index]));
  }
  const { files, root } = source;
  const file = files[index];
  return root !== undefined && file.startsWith(`${root}/`) ? file.slice(root.length + 1) : file;
}

/** Where a sample lies. */
export function placeOf(source: ImageSource, index: number): Place {
  if (source.kind === "files") {
    return { name: source.files[index], file: source.files[index] };
  }
  if (source.kind === "shards") {
    const { name, file, size, mtime } = source.shards[source.shard[index]];
    return {
      name: `${name}/${sampleName(source, index)}`,
      file,
      part: { offset: source.offset[index], size: source.size[index] },
      stamp: { size, mtime },
    };
  }
  const { path, pick, total = source.length } = source;
  const at = pick?.[index] ?? index;
  return { name: `${path}[${at}]`, file: path, idx: { index: at, total } };
}

/** Takes some samples of a source, in the order of `indices`. */
export function subset(source: ImageSource, indices: Uint32Array): ImageSource {
  const labels = source.labels && Int32Array.from(indices, (i) => source.labels![i]);
  const common = { length: indices.length, ...(labels && { labels }) };
  switch (source.kind) {
    case "files":
      return { ...source, ...common, files: Array.from(indices, (i) => source.files[i]) };
    case "shards":
      return {
        ...source,
        ...common,
        shard: Uint32Array.from(indices, (i) => source.shard[i]),
        offset: Float64Array.from(indices, (i) => source.offset[i]),
        size: Float64Array.from(indices, (i) => source.size[i]),
        names: packNames(Array.from(indices, (i) => sampleName(source, i))),
      };
    case "idx": {
      const { pick, total = source.length } = source;
      return { ...source, ...common, total, pick: indices.map((i) => pick?.[i] ?? i) };
    }
  }
}
