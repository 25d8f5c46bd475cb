import type { Box, Filter, Image } from "../resize.ts";
import { resize } from "../resize.ts";

/** Frames of one video, of 8 bits. */
export interface Clip {
  /** T. */
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** `[T, H, W, C]`. */
  readonly pixels: Uint8Array<ArrayBuffer>;
}

/** Frame `t` of a clip `[H, W, C]`; it shares the clip's memory. */
export function frameOf({ frames, height, width, channels, pixels }: Clip, t: number): Image {
  if (!(Number.isInteger(t) && t >= 0 && t < frames)) {
    throw new RangeError(`Cannot take frame ${t}: the clip has ${frames}`);
  }
  const size = height * width * channels;
  return { width, height, channels, pixels: pixels.subarray(t * size, (t + 1) * size) };
}

/**
 * Makes a clip of images.
 *
 * @param images T images `[H, W, C]`.
 * @throws {RangeError} If there is none, or they differ in shape.
 */
export function stackFrames(images: readonly Image[]): Clip {
  const [first] = images;
  if (!first) throw new RangeError("Cannot make a clip of no frames");
  const { height, width, channels } = first;
  const size = height * width * channels;
  const pixels = new Uint8Array(images.length * size);
  images.forEach((image, t) => {
    if (image.height !== height || image.width !== width || image.channels !== channels) {
      const shape = (x: Image) => `[${x.height}, ${x.width}, ${x.channels}]`;
      throw new RangeError(
        `Cannot make a clip: frame ${t} is ${shape(image)}, the first is ${shape(first)}`,
      );
    }
    pixels.set(image.pixels, t * size);
  });
  return { frames: images.length, height, width, channels, pixels };
}

/** Does the same to every frame of a clip; all results must have one shape. */
export function mapFrames(clip: Clip, change: (frame: Image, t: number) => Image): Clip {
  return stackFrames(Array.from({ length: clip.frames }, (_, t) => change(frameOf(clip, t), t)));
}

/**
 * Takes frames of a clip, in any order and with repeats.
 *
 * @returns A new clip `[indices.length, H, W, C]`.
 */
export function takeFrames(clip: Clip, indices: readonly number[]): Clip {
  return stackFrames(indices.map((t) => frameOf(clip, t)));
}

/**
 * Resizes a clip, or the part of it in `box`, as Pillow does each frame.
 *
 * @param clip Clip `[T, H, W, C]`.
 * @returns A new clip `[T, height, width, C]`.
 */
export function resizeClip(
  clip: Clip,
  width: number,
  height: number,
  filter: Filter = "bilinear",
  box?: Box,
): Clip {
  return mapFrames(clip, (frame) => resize(frame, width, height, filter, box));
}
