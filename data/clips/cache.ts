/**
 * A folder of decoded videos, each shrunk once and kept as a .npy file `[frames, H, W, 3]`, from which
 * single frames are read. It is large: ten seconds of 320 × 240 pixels take 69 MB.
 *
 * A file's name is a hash of all that decides its pixels: where the video lies, its size and time,
 * and the short side. Nothing is ever removed; the folder may be deleted at any time.
 */

import { resolve } from "node:path";
import { encodeNpyHeader, type NpyHeader, parseNpyHeader } from "../../src/npy.ts";
import { cachePath } from "../cache.ts";
import { DataError } from "../dataset.ts";
import { readPart, reasonOf, stampOf, writeAtomically } from "../files.ts";
import { resize } from "../resize.ts";
import { type DecoderName, openVideo, sizeOf, type Video } from "./video.ts";

/** How videos are read. */
export interface ClipReading {
  /** node-av unless given. */
  readonly decoder?: DecoderName;
  /** Short side of the frames that views are made of, at most; their own if left out. */
  readonly shortSide?: number;
  /** Folder to keep decoded videos in; they are decoded each time if left out. */
  readonly cache?: string;
}

/** Short side to read a video at: a smaller one keeps its size. */
export function shortSideOf(
  { width, height }: Video,
  { shortSide = Infinity }: ClipReading,
): number {
  return Math.min(width, height, shortSide);
}

/**
 * Makes a function that opens videos, from the cache if there is one and it holds them; else it
 * decodes, shrinks and keeps them. When one cannot be written, say on a full disk, it goes on without
 * writing and warns once.
 */
export function videoOpener(
  reading: ClipReading,
): (path: string) => Promise<{ readonly video: Video; readonly warning?: string }> {
  const { decoder, shortSide, cache } = reading;
  if (cache === undefined) return async (path) => ({ video: await openVideo(path, decoder) });
  let writes = true;
  return async (path) => {
    const { size, mtime } = await stampOf(path);
    const kept = cachePath(cache, "npy", ["clip", resolve(path), size, mtime, shortSide ?? null]);
    const found = await openKept(kept);
    if (found) return { video: found };
    const video = await openVideo(path, decoder);
    if (!writes) return { video };
    try {
      await writeAtomically(kept, (temporary) => writeFrames(video, reading, temporary));
    } catch (error) {
      if (error instanceof DataError) return { video }; // damaged somewhere: clips may lie elsewhere
      writes = false;
      const warning = `Cannot write to cache ${cache}: ${reasonOf(error)}; going on without`;
      return { video, warning };
    }
    return { video: await openKept(kept) ?? video };
  };
}

async function writeFrames(video: Video, reading: ClipReading, path: string): Promise<void> {
  const size = sizeOf(video, shortSideOf(video, reading));
  const header = encodeNpyHeader("|u1", [video.frames, size.height, size.width, 3]);
  const bytes = size.height * size.width * 3;
  using file = await Deno.open(path, { write: true, create: true });
  const write = async (at: number, part: Uint8Array) => {
    await file.seek(at, Deno.SeekMode.Start);
    for (let done = 0; done < part.length;) done += await file.write(part.subarray(done));
  };
  await write(0, header);
  const all = Array.from({ length: video.frames }, (_, i) => i);
  for await (const { index, pixels } of video.decode(all, size)) {
    await write(header.length + index * bytes, pixels);
  }
}

/** A kept video; a damaged file passes for none. */
async function openKept(path: string): Promise<Video | undefined> {
  const stamp = await stampOf(path).catch(() => undefined);
  if (!stamp) return undefined;
  let header: NpyHeader;
  try {
    const part = { offset: 0, size: Math.min(stamp.size, 256) };
    header = parseNpyHeader(await readPart(path, part, path));
  } catch {
    return undefined;
  }
  const { descr, shape, start } = header;
  const [frames, height, width, channels] = shape;
  const bytes = height * width * channels;
  if (descr !== "|u1" || channels !== 3 || stamp.size !== start + frames * bytes) return undefined;
  return {
    ...{ path, frames, width, height },
    async *decode(indices, size) {
      for (const index of indices) {
        const part = { offset: start + index * bytes, size: bytes };
        const pixels = await readPart(path, part, path);
        const image = { width, height, channels, pixels };
        yield { index, pixels: resize(image, size.width, size.height, "bicubic").pixels };
      }
    },
  };
}
