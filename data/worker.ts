// Makes training views of single images, for the loader.

import { type Key, split, uniform } from "../src/random.ts";
import { type CropRange, flip, normalise, randomResizedCropBox } from "./augment.ts";
import type { CacheSettings } from "./cache.ts";
import { DataError } from "./dataset.ts";
import type { Stamp } from "./files.ts";
import type { Place } from "./place.ts";
import { serve } from "./pool.ts";
import { openReader } from "./reader.ts";
import { type Image, resize } from "./resize.ts";

/** Random crop: its size in pixels, its ranges, and whether half of them are mirrored. */
export interface Crop extends CropRange {
  readonly height: number;
  readonly width: number;
  readonly flip: boolean;
}

/** What every worker gets at its start. */
export interface Setup {
  readonly crop: Crop;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly channels: number;
  /** Where decoded images are kept, and how large; originals are decoded each time if left out. */
  readonly cache?: CacheSettings;
}

/** One view to make; `key` decides all draws. */
export interface Job {
  readonly place: Place;
  readonly key: Key;
}

/** A view, or why the file is bad; with what the reader found out. */
export type Answer =
  | {
    readonly view: Float32Array<ArrayBuffer>;
    readonly stamp?: Stamp;
    readonly warning?: string;
  }
  | { readonly reason: string };

serve<Setup, Job, Answer>((setup) => {
  const read = openReader(setup.channels, setup.cache);
  return async ({ place, key }) => {
    try {
      const { image, stamp, warning } = await read(place);
      const view = trainingView(image, setup, key);
      return { answer: { view, stamp, warning }, transfer: [view.buffer] };
    } catch (error) {
      // Bad data are for the loader to judge; anything else is a fault here and ends the worker.
      if (!(error instanceof DataError)) throw error;
      return { answer: { reason: error.message } };
    }
  };
});

/**
 * Augments one image as MAE's pre-training does: random resized crop, bicubic, and flip.
 *
 * @returns Normalised pixels `[height, width, C]`.
 */
function trainingView(
  image: Image,
  { crop, mean, std }: Setup,
  key: Key,
): Float32Array<ArrayBuffer> {
  const [boxKey, flipKey] = split(key, 2);
  const draws = uniform(boxKey, 22).values();
  const box = randomResizedCropBox(image.width, image.height, crop, () => draws.next().value!);
  const view = resize(image, crop.width, crop.height, "bicubic", box);
  const mirrored = crop.flip && uniform(flipKey, 1)[0] < 0.5;
  return normalise(mirrored ? flip(view) : view, mean, std);
}
