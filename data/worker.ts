// Makes views of single images, for the loaders.

import { type Key, split, uniform } from "../src/random.ts";
import { type Augment, augmenter } from "./appearance.ts";
import {
  type CropRange,
  evaluationCrop,
  flip,
  normaliser,
  randomResizedCropBox,
  type Size,
} from "./augment.ts";
import type { CacheSettings } from "./cache.ts";
import { DataError } from "./dataset.ts";
import type { Stamp } from "./files.ts";
import type { Place } from "./place.ts";
import { serve } from "./pool.ts";
import { type Erasing, randomErasing } from "./random_erasing.ts";
import { openReader } from "./reader.ts";
import { type Image, resize } from "./resize.ts";

/** Random crop: its size in pixels, its ranges, and whether half of them are mirrored. */
export interface Crop extends CropRange {
  readonly height: number;
  readonly width: number;
  readonly flip: boolean;
}

/** Crop for evaluation: its size in pixels, and its share of the resized image. */
export interface EvaluationCrop extends Size {
  /** 1 leaves no margin, as for small images; as published unless given. */
  readonly cropPct?: number;
}

/** How every view is read and normalised. */
export interface Reading {
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly channels: number;
  /** Where decoded images are kept, and how large; originals are decoded each time if left out. */
  readonly cache?: CacheSettings;
}

/** What every worker gets at its start, to make training views. */
export interface Setup extends Reading {
  readonly crop: Crop;
  /** Changes the appearance of cropped views; not if left out. */
  readonly augment?: Augment;
  /** Erases parts of normalised views; none if left out. */
  readonly erase?: Erasing;
}

/** What every worker gets at its start, to make evaluation views. */
export interface EvaluationSetup extends Reading {
  readonly evaluate: EvaluationCrop;
}

/** One view to make; `key` decides all draws, of which evaluation has none. */
export interface Sample {
  readonly place: Place;
  readonly key?: Key;
}

/** Views to make, in one message. */
export type Job = readonly Sample[];

/** A view, or why the file is bad; with what the reader found out. */
export type Answer =
  | {
    readonly view: Float32Array<ArrayBuffer>;
    readonly stamp?: Stamp;
    readonly warning?: string;
  }
  | { readonly reason: string };

serve<Setup | EvaluationSetup, Job, readonly Answer[]>((setup) => {
  const read = openReader(setup.channels, setup.cache);
  const view = viewer(setup);
  const answer = async ({ place, key }: Sample): Promise<Answer> => {
    try {
      const { image, stamp, warning } = await read(place);
      return { view: view(image, key), stamp, warning };
    } catch (error) {
      // Bad data are for the loader to judge; anything else is a fault here and ends the worker.
      if (!(error instanceof DataError)) throw error;
      return { reason: error.message };
    }
  };
  return async (job) => {
    const answers: Answer[] = [];
    for (const sample of job) answers.push(await answer(sample));
    const transfer = answers.flatMap((answer) => "view" in answer ? [answer.view.buffer] : []);
    return { answer: answers, transfer };
  };
});

/** What makes normalised pixels `[height, width, C]` of an image. */
function viewer(
  setup: Setup | EvaluationSetup,
): (image: Image, key?: Key) => Float32Array<ArrayBuffer> {
  const normalise = normaliser(setup.mean, setup.std);
  if ("evaluate" in setup) {
    const { width, height, cropPct } = setup.evaluate;
    return (image) => normalise(evaluationCrop(image, width, height, cropPct));
  }
  const { crop, erase } = setup;
  const augment = setup.augment && augmenter(setup.augment, setup.mean);
  return (image, key) => {
    const view = trainingView(image, setup, key!);
    const pixels = normalise(augment ? augment(view, split(key!, 3)[2]) : view);
    return erase ? randomErasing(pixels, crop, erase, split(key!, 4)[3]) : pixels;
  };
}

/**
 * Augments one image as MAE's pre-training does: random resized crop, bicubic, and flip.
 *
 * @returns Image `[height, width, C]`.
 */
function trainingView(image: Image, { crop }: Setup, key: Key): Image {
  const [boxKey, flipKey] = split(key, 2);
  const draws = uniform(boxKey, 22).values();
  const box = randomResizedCropBox(image.width, image.height, crop, () => draws.next().value!);
  const view = resize(image, crop.width, crop.height, "bicubic", box);
  const mirrored = crop.flip && uniform(flipKey, 1)[0] < 0.5;
  return mirrored ? flip(view) : view;
}
