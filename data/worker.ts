// Makes training views of single images, for the loader.

import { type Key, split, uniform } from "../src/random.ts";
import { type CropRange, flip, normalise, randomResizedCropBox } from "./augment.ts";
import { DataError, type Dataset } from "./dataset.ts";
import { type Image, resize } from "./resize.ts";
import { type ImageSource, openSource } from "./source.ts";

/** Random crop: its size in pixels, its ranges, and whether half of them are mirrored. */
export interface Crop extends CropRange {
  readonly height: number;
  readonly width: number;
  readonly flip: boolean;
}

/** First message to a worker. */
export interface Setup {
  readonly source: ImageSource;
  readonly crop: Crop;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly channels: 1 | 3;
}

/** Every other message to a worker; `key` decides all draws. */
export interface Job {
  readonly id: number;
  readonly index: number;
  readonly key: Key;
}

/** A worker's answer: to a job, or, without an id, to its setup when the source is bad. */
export type Answer =
  | { readonly id: number; readonly view: Float32Array<ArrayBuffer> }
  | { readonly id?: number; readonly reason: string };

/** The worker's side of its channel; the project is checked as a program, not as workers. */
const channel = globalThis as unknown as {
  onmessage: (event: MessageEvent<Setup | Job>) => void;
  postMessage: (answer: Answer, transfer?: Transferable[]) => void;
};

let setup: Setup;
let images: Promise<Dataset<Image> | undefined>;
let last: Promise<void> = Promise.resolve();

channel.onmessage = ({ data }) => {
  if ("source" in data) {
    setup = data;
    images = openSource(data.source, data.channels).catch((error) => answerBad(error));
  } else {
    last = last.then(() => work(data)); // one at a time: a worker is one core's work
  }
};

async function work({ id, index, key }: Job): Promise<void> {
  try {
    const image = await (await images)?.get(index);
    if (!image) return; // the source is bad, and the loader knows
    const view = trainingView(image, setup, key);
    answer({ id, view }, [view.buffer]);
  } catch (error) {
    answerBad(error, id);
  }
}

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

/** Bad data are for the loader to judge; anything else is a fault here and ends the worker. */
function answerBad(error: unknown, id?: number): undefined {
  if (!(error instanceof DataError)) throw error;
  answer({ id, reason: error.message });
}

function answer(message: Answer, transfer: Transferable[] = []): void {
  channel.postMessage(message, transfer);
}
