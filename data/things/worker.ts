// Makes views of images with things, for the loaders.

import type { Key } from "../../src/random.ts";
import { normaliser } from "../augment.ts";
import { compress } from "../coco/segmentation.ts";
import { bitmapOf } from "../coco/run_lengths.ts";
import { runsOf } from "../coco/run_string.ts";
import { DataError } from "../dataset.ts";
import { decodeImage } from "../decode.ts";
import { padPixels } from "../masks/views.ts";
import { serve } from "../pool.ts";
import { type Image, resize } from "../resize.ts";
import type { Thing } from "./source.ts";
import {
  evaluationScale,
  type ThingScale,
  type ThingView,
  thingView,
  type ThingViewSettings,
} from "./views.ts";

/** How images are read and normalised. */
export interface ThingReading {
  readonly channels: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** What every worker gets at its start, to make training views. */
export interface ThingTrainingSetup extends ThingReading {
  readonly kind: "train";
  readonly view: ThingViewSettings;
}

/** What every worker gets at its start, to make evaluation views. */
export interface ThingEvaluationSetup extends ThingReading {
  readonly kind: "evaluate";
  readonly scale: ThingScale;
}

/** An image; its size as annotated, and what is in it; `key` decides all draws of training views. */
export interface ThingJob {
  readonly image: string;
  readonly size: readonly [height: number, width: number] | null;
  readonly things: readonly Thing[];
  readonly key?: Key;
}

/** A view of an image; things are only in training views. */
export interface ThingSample extends Omit<ThingView, "image"> {
  /** Normalised `[H, W, C]`, 0 beyond the image. */
  readonly pixels: Float32Array<ArrayBuffer>;
  /** Of the part that the image fills. */
  readonly filled: readonly [height: number, width: number];
  /** Of the image's file. */
  readonly original: readonly [height: number, width: number];
}

/** A view, or why the image is bad. */
export type ThingAnswer = ThingSample | { readonly reason: string };

serve<ThingTrainingSetup | ThingEvaluationSetup, ThingJob, ThingAnswer>((setup) => {
  const normalise = normaliser(setup.mean, setup.std);
  const { canvas } = setup.kind === "train" ? setup.view : setup.scale;
  const sample = (image: Image, original: Image, seen: Omit<ThingView, "image">): ThingSample => ({
    pixels: padPixels(normalise(image), image, canvas),
    filled: [image.height, image.width],
    original: [original.height, original.width],
    ...seen,
  });
  return async ({ image: path, size, things, key }) => {
    try {
      const image = await readImage(path, size, setup);
      let answer: ThingSample;
      if (setup.kind === "train") {
        const sides = [image.height, image.width] as const;
        const masks = things.map(({ category, segmentation }) => ({
          category,
          mask: bitmapOf({
            counts: [...runsOf(compress(segmentation, sides).string)],
            size: sides,
          }),
        }));
        const { image: view, ...seen } = thingView(image, masks, setup.view, key!);
        answer = sample(view, image, seen);
      } else {
        const { width, height } = evaluationScale(image, setup.scale);
        const none = { boxes: new Float32Array(), classes: new Uint32Array() };
        answer = sample(resize(image, width, height, "bilinear"), image, {
          ...{ ...none, masks: new Uint32Array() },
        });
      }
      const { pixels, boxes, classes, masks } = answer;
      return { answer, transfer: [pixels, boxes, classes, masks].map(({ buffer }) => buffer) };
    } catch (error) {
      // Bad data are for the loader to judge; anything else is a fault here and ends the worker.
      if (!(error instanceof DataError)) throw error;
      return { answer: { reason: error.message } };
    }
  };
});

async function readImage(
  path: string,
  size: ThingJob["size"],
  { channels }: ThingReading,
): Promise<Image> {
  const image = await decodeImage(path, channels);
  if (size && (image.height !== size[0] || image.width !== size[1])) {
    throw new DataError(
      `Cannot use ${path}: it has ${image.width} × ${image.height} pixels, its annotations say ` +
        `${size[1]} × ${size[0]}`,
    );
  }
  return image;
}
