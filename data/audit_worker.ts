// Decodes single images whole, to see whether they can be used.

import { createHash } from "node:crypto";
import { DataError } from "./dataset.ts";
import { decodeBytes } from "./decode.ts";
import type { Place } from "./place.ts";
import { serve } from "./pool.ts";
import { bytesAt, openReader } from "./reader.ts";

/** What an image is, or why it cannot be read. */
export type Look =
  | {
    readonly width: number;
    readonly height: number;
    readonly channels: number;
    /** SHA-256 of the file's bytes; of an IDX image's pixels. */
    readonly hash: string;
  }
  | { readonly reason: string };

serve<null, Place, Look>(() => {
  const read = openReader();
  const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("base64");
  return async (place) => {
    try {
      const bytes = place.idx ? undefined : await bytesAt(place);
      const image = bytes ? await decodeBytes(bytes, place.name) : (await read(place)).image;
      const { width, height, channels, pixels } = image;
      return { answer: { width, height, channels, hash: hashOf(bytes ?? pixels) } };
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      return { answer: { reason: error.message } };
    }
  };
});
