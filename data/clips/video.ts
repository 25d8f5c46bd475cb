import type { Size } from "../augment.ts";
import { DataError, holdsImages } from "../dataset.ts";
import { reasonOf } from "../files.ts";
import type { Clip } from "./clip.ts";
import { checkWhole } from "./container.ts";

/**
 * Decoders of video files: `node-av` has FFmpeg in its package and is the faster; `ffmpeg` runs the
 * programs `ffmpeg` and `ffprobe`. Both give the same pixels.
 */
export const DECODERS = ["node-av", "ffmpeg"] as const;
export type DecoderName = (typeof DECODERS)[number];

/** A decoder that cannot be used; the message says how to mend that. */
export class DecoderError extends Error {
  override name = "DecoderError";
}

/** A video, and how to read it; it holds nothing open. */
export interface Video extends Size {
  readonly path: string;
  /** Frames that it shows; frame n is the n-th shown, whatever its timestamp. */
  readonly frames: number;
  /** Mean frames a second; undefined where the file does not tell. */
  readonly fps?: number;
  /**
   * Decodes some frames, holding few at a time.
   *
   * @param indices Ascending, each once, below `frames`.
   * @param size Width and height to resize to, bicubic.
   * @returns RGB frames in order; after a false start some come twice, the later ones count.
   * @throws {DataError} If the file is damaged.
   */
  decode(indices: readonly number[], size: Size): AsyncIterable<VideoFrame>;
}

/** A decoded frame. */
export interface VideoFrame {
  readonly index: number;
  /** RGB `[height, width, 3]`. */
  readonly pixels: Uint8Array;
}

/** Extensions of video files. */
export const VIDEO: RegExp = /\.(mp4|m4v|webm|mkv|avi|mov|mpe?g|wmv|flv|3gp)$/i;

/**
 * Opens a video: a file, or a folder of frames as images in the order of their names.
 *
 * Rotations and pixel aspects that a file states are ignored, as EXIF's orientation of images is.
 *
 * @throws {DataError} If it is missing, empty, truncated, damaged or no video.
 * @throws {DecoderError} If the decoder cannot be used here.
 * @throws {RangeError} If there is no decoder of that name.
 */
export async function openVideo(path: string, decoder: DecoderName = "node-av"): Promise<Video> {
  checkDecoder(decoder);
  const info = await Deno.stat(path).catch((cause) => {
    throw new DataError(`Cannot read ${path}: ${reasonOf(cause)}`, { cause });
  });
  // Imported here, so that none is loaded which is not needed.
  if (info.isDirectory) {
    if (!await holdsImages(path)) {
      throw new DataError(`Cannot use folder ${path} as a video: it holds no image`);
    }
    return await (await import("./frame_folder.ts")).openFrameFolder(path);
  }
  await checkWhole(path);
  const { open } = decoder === "ffmpeg"
    ? await import("./ffmpeg.ts")
    : await import("./node_av.ts");
  const video = await open(path);
  if (video.frames === 0) throw new DataError(`Cannot decode ${path}: it holds no frame`);
  return video;
}

/** @throws {RangeError} If there is no decoder of that name. */
export function checkDecoder(decoder: string): asserts decoder is DecoderName {
  if (DECODERS.some((name) => name === decoder)) return;
  throw new RangeError(
    `Cannot open videos: decoder "${decoder}" is none of ${DECODERS.join(", ")}`,
  );
}

/**
 * Reads frames of a video.
 *
 * @param indices Frames in any order, perhaps with repeats.
 * @param shortSide Length to resize the short side to; the frames' own if left out.
 * @returns RGB clip `[indices.length, H, W, 3]`.
 * @throws {RangeError} If there is no such frame.
 * @throws {DataError} If the file is damaged.
 */
export async function readClip(
  video: Video,
  indices: readonly number[],
  shortSide?: number,
): Promise<Clip> {
  const { frames } = video;
  const bad = indices.find((index) => !(Number.isInteger(index) && index >= 0 && index < frames));
  if (bad !== undefined || indices.length === 0) {
    throw new RangeError(
      `Cannot read frame ${bad ?? "list"} of ${video.path}: ` +
        (bad === undefined ? "it is empty" : `the video has ${frames}`),
    );
  }
  const { width, height } = shortSide === undefined ? video : sizeOf(video, shortSide);
  const size = width * height * 3;
  const pixels = new Uint8Array(indices.length * size);
  const places = Map.groupBy(indices.keys(), (place) => indices[place]);
  const wanted = [...places.keys()].sort((a, b) => a - b);
  for await (const frame of video.decode(wanted, { width, height })) {
    for (const place of places.get(frame.index)!) pixels.set(frame.pixels, place * size);
  }
  return { frames: indices.length, height, width, channels: 3, pixels };
}

/** Size with a given short side; the long one is truncated, as torchvision's Resize does. */
export function sizeOf({ width, height }: Size, shortSide: number): Size {
  if (!(Number.isInteger(shortSide) && shortSide > 0)) {
    throw new RangeError(`Cannot resize to a short side of ${shortSide} pixels`);
  }
  return width <= height
    ? { width: shortSide, height: Math.trunc(shortSide * height / width) }
    : { width: Math.trunc(shortSide * width / height), height: shortSide };
}
