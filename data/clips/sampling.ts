/**
 * Which frames of a video make a clip: pure functions of its length and a key.
 *
 * VideoMAE's (arXiv:2203.12602), whose loaders for Kinetics and Something-Something V2 are the
 * reference for the test clips.
 */

import { type Key, uniform } from "../../src/random.ts";

/** Frames of a clip. */
export interface ClipIndices {
  /** Ascending `[T]`. */
  readonly indices: readonly number[];
  /** Whether the video is too short, so that frames are repeated. */
  readonly padded: boolean;
}

/** How a clip's frames are chosen. */
export interface Sampling {
  /**
   * `dense`: T frames a stride apart. `segments`: one of each of T equal segments, as in TSN
   * (arXiv:1608.00859).
   */
  readonly kind: "dense" | "segments";
  /** T. */
  readonly frames: number;
  /** Frames from one to the next, for `dense`. */
  readonly stride?: number;
}

/**
 * Draws the frames of a training clip.
 *
 * @param length Frames of the video.
 * @param key Decides the draws.
 */
export function trainingIndices(length: number, sampling: Sampling, key: Key): ClipIndices {
  const { kind, frames, stride = 1 } = checkSampling(length, sampling);
  return kind === "dense"
    ? denseIndices(length, frames, stride, uniform(key, 1)[0])
    : segmentIndices(length, frames, uniform(key, frames));
}

/**
 * Frames of the test clips of a video.
 *
 * @param clips M.
 * @returns M clips: for `dense` M evenly spread starts, for `segments` frames of M interleaved clips,
 * or the segments' centres for M = 1.
 */
export function testIndices(length: number, sampling: Sampling, clips: number): ClipIndices[] {
  const { kind, frames, stride = 1 } = checkSampling(length, sampling);
  if (!(Number.isInteger(clips) && clips >= 1)) {
    throw new RangeError(`Cannot sample ${clips} clips: not a positive integer`);
  }
  return kind === "dense"
    ? denseTestIndices(length, frames, stride, clips)
    : segmentTestIndices(length, frames, clips);
}

/**
 * T frames a stride apart. A start is drawn so that T · stride frames lie ahead of it; a shorter
 * video begins at its first frame, and the last one that is met is repeated.
 *
 * @param draw Uniform in [0, 1).
 */
export function denseIndices(
  length: number,
  frames: number,
  stride: number,
  draw: number,
): ClipIndices {
  const start = Math.floor(draw * Math.max(1, length - frames * stride + 1));
  const most = Math.floor((length - 1) / stride) * stride;
  const indices = Array.from(
    { length: frames },
    (_, i) => Math.min(start + i * stride, most),
  );
  return { indices, padded: (frames - 1) * stride >= length };
}

/**
 * M clips of every stride-th frame of the video: clip c starts at the floor(c · (n − T) / (M − 1))-th of
 * these n frames, one clip in the middle. Of a short video all are alike, its last one repeated.
 */
export function denseTestIndices(
  length: number,
  frames: number,
  stride: number,
  clips: number,
): ClipIndices[] {
  const count = Math.ceil(length / stride); // n
  const spare = Math.max(0, count - frames);
  return Array.from({ length: clips }, (_, clip) => {
    const start = Math.trunc(clips === 1 ? spare / 2 : clip * (spare / (clips - 1)));
    const indices = Array.from(
      { length: frames },
      (_, i) => Math.min(start + i, count - 1) * stride,
    );
    return { indices, padded: count < frames };
  });
}

/**
 * One frame of each of T segments of floor(length / T) frames. A video of fewer frames than T is
 * spread over them evenly; VideoMAE would show its first frame alone.
 *
 * @param draws Uniform in [0, 1) `[T]`.
 */
export function segmentIndices(
  length: number,
  frames: number,
  draws: ArrayLike<number>,
): ClipIndices {
  const size = Math.floor(length / frames);
  const indices = Array.from(
    { length: frames },
    (_, i) => size > 0 ? i * size + Math.floor(draws[i] * size) : Math.floor(i * length / frames),
  );
  return { indices, padded: size === 0 };
}

/**
 * Clip c of M has the frames int(tick · (t + c / M)), where tick = length / T: for two clips the
 * segments' first frames and centres, so that they interleave. One clip has the centres.
 */
export function segmentTestIndices(length: number, frames: number, clips: number): ClipIndices[] {
  const tick = length / frames;
  return Array.from({ length: clips }, (_, clip) => {
    const offset = clips === 1 ? tick / 2 : clip * tick / clips;
    const indices = Array.from({ length: frames }, (_, t) => Math.trunc(offset + tick * t));
    return { indices, padded: length < frames };
  });
}

/** Frames that a video must have, so that none is repeated. */
export function leastFrames({ kind, frames, stride = 1 }: Sampling): number {
  return kind === "dense" ? (frames - 1) * stride + 1 : frames;
}

/** @throws {RangeError} If a number is not a positive integer. */
export function checkSampling(length: number, sampling: Sampling): Sampling {
  const { frames, stride = 1 } = sampling;
  for (const [name, value] of Object.entries({ length, frames, stride })) {
    if (!(Number.isInteger(value) && value >= 1)) {
      throw new RangeError(`Cannot sample frames: ${name} is ${value}, not a positive integer`);
    }
  }
  return sampling;
}
