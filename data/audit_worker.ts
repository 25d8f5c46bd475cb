// Decodes single images whole, to see whether they can be used.

import { createHash } from "node:crypto";
import { DataError } from "./dataset.ts";
import { decodeBytes, type Decoded } from "./decode.ts";
import type { Place } from "./place.ts";
import { serve } from "./pool.ts";
import { bytesAt, openReader } from "./reader.ts";
import type { Image } from "./resize.ts";

/** What to look at. */
export interface Question {
  readonly place: Place;
  /** Whether the answer is to tell the pixels' moments. */
  readonly measure: boolean;
}

/** What an image is, or why it cannot be read. */
export type Look =
  | {
    readonly width: number;
    readonly height: number;
    readonly channels: number;
    /** SHA-256 of the file's bytes; of an IDX image's pixels. */
    readonly hash: string;
    /** Number of a TIFF's pages, where they are the channels. */
    readonly pages?: number;
    readonly moments?: Moments;
  }
  | { readonly reason: string };

/** Means of the pixels and of their squares, on a scale of 0 to 1, one number a channel. */
export interface Moments {
  readonly mean: readonly number[];
  readonly square: readonly number[];
}

serve<null, Question, Look>(() => {
  const read = openReader();
  const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("base64");
  return async ({ place, measure }) => {
    try {
      const bytes = place.idx ? undefined : await bytesAt(place);
      const image: Decoded = bytes
        ? await decodeBytes(bytes, place.name)
        : (await read(place)).image;
      const { width, height, channels, pixels, pages } = image;
      const moments = measure ? momentsOf(image) : undefined;
      return { answer: { width, height, channels, hash: hashOf(bytes ?? pixels), pages, moments } };
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      return { answer: { reason: error.message } };
    }
  };
});

function momentsOf({ width, height, channels, pixels }: Image): Moments {
  const mean: number[] = Array(channels).fill(0);
  const square: number[] = Array(channels).fill(0);
  for (let i = 0; i < pixels.length; i += channels) {
    for (let c = 0; c < channels; c++) {
      mean[c] += pixels[i + c];
      square[c] += pixels[i + c] ** 2;
    }
  }
  const area = width * height;
  return {
    mean: mean.map((sum) => sum / area / 255),
    square: square.map((sum) => sum / area / 255 ** 2),
  };
}
