/**
 * Classes of all pixels of images of any size: by windows that overlap, or whole; at several scales,
 * and mirrored.
 *
 * @module
 */
import type { Device } from "../../src/device.ts";
import { strideOf } from "../../src/models/mcmae.ts";
import {
  segment,
  type SegmenterParams,
  type SegmenterSettings,
} from "../../src/models/segmenter.ts";
import type { Params } from "../../src/optim.ts";
import { type Inference, makeResident, prepareInference } from "../inference.ts";
import {
  cutWindow,
  highest,
  resizeScores,
  type ScoreMap,
  type Sides,
  softmaxInPlace,
  windowCorners,
  WindowMean,
} from "./slide.ts";

/** How images are looked at. */
export interface Looking {
  /**
   * Sides of windows and the strides from one to the next; what lies beyond a smaller image is zero.
   * Null looks at each image whole, filled up to what the encoder can cut into tokens.
   */
  readonly windows: { readonly crop: Sides; readonly stride: Sides } | null;
  /** Whether the mirrored image counts too. */
  readonly flip: boolean;
  /** Factors on the image's sides, of which the shares of classes are averaged. */
  readonly scales: readonly number[];
  /** Windows that the device gets at once. */
  readonly batch: number;
}

/** Normalised pixels `[height, width, C]`. */
export interface Pixels {
  readonly height: number;
  readonly width: number;
  readonly image: Float32Array;
}

/** Predicts classes of pixels. */
export interface Predictor {
  /**
   * @param size Height and width of the result, where they are not the image's.
   * @returns A class for every pixel, `[height, width]`.
   */
  predict(pixels: Pixels, size?: Sides): Promise<Uint16Array<ArrayBuffer>>;
  /** Mean scores of one look, at the size of the image. */
  scores(pixels: Pixels): Promise<ScoreMap>;
  destroy(): void;
}

/** Sizes of whole images that are compiled for at a time: each takes memory. */
const KEPT = 4;

/**
 * Prepares to segment images.
 *
 * @param params On the host or the device.
 */
export function preparePredictor(
  device: Device,
  settings: SegmenterSettings,
  params: SegmenterParams,
  { windows, flip, scales, batch }: Looking,
): Predictor {
  const { encoder: { channels }, classes } = settings;
  const stride = strideOf(settings.encoder);
  const { params: resident, free } = makeResident(device, params as Params);
  const compiled = new Map<string, Promise<Inference>>();
  const inferenceOf = async (crop: Sides, batch: number): Promise<Inference> => {
    const key = `${crop} ${batch}`;
    const known = compiled.get(key);
    if (known) return await known;
    for (const [old, inference] of compiled) {
      if (compiled.size < KEPT) break;
      compiled.delete(old);
      (await inference).destroy();
    }
    const inference = prepareInference(
      device,
      { batch, imageSize: crop, channels },
      resident,
      (params, images) => ({
        scores: segment(params as unknown as SegmenterParams, settings, images),
      }),
    );
    compiled.set(key, inference);
    return await inference;
  };

  const scores = async ({ height, width, image }: Pixels): Promise<ScoreMap> => {
    const whole = (side: number) => Math.max(3, Math.ceil(side / stride)) * stride;
    const sides: Sides = [height, width];
    const crop: Sides = windows?.crop ?? [whole(height), whole(width)];
    const corners = windowCorners(sides, crop, windows?.stride ?? crop);
    const inference = await inferenceOf(crop, windows ? batch : 1);
    const mean = new WindowMean(sides, classes);
    const size = crop[0] * crop[1];
    for (let start = 0; start < corners.length; start += inference.batch) {
      const group = corners.slice(start, start + inference.batch);
      const pixels = new Float32Array(group.length * size * channels);
      group.forEach((corner, i) =>
        pixels.set(cutWindow(image, sides, corner, crop), i * size * channels)
      );
      const { scores } = await inference.run(pixels, group.length);
      group.forEach((corner, i) =>
        mean.add(scores.subarray(i * size * classes, (i + 1) * size * classes), corner, crop)
      );
    }
    return mean.result();
  };

  return {
    scores,
    async predict(pixels, size = [pixels.height, pixels.width]) {
      let shares: Float32Array | undefined;
      const looks = scales.flatMap((scale) =>
        flip ? [[scale, false], [scale, true]] as const : [
          [scale, false] as const,
        ]
      );
      for (const [scale, isMirrored] of looks) {
        const scaled = rescale(pixels, scale);
        const seen = await scores(isMirrored ? mirrorPixels(scaled) : scaled);
        const map = resizeScores(isMirrored ? mirrorScores(seen) : seen, size);
        if (looks.length === 1) return highest(map.scores, classes);
        const look = softmaxInPlace(map.scores, classes);
        shares = shares ? shares.map((share, i) => share + look[i]) : look;
      }
      return highest(shares!, classes);
    },
    destroy() {
      for (const inference of compiled.values()) {
        inference.then((ready) => ready.destroy(), () => {}); // told to whoever asked for it
      }
      free();
    },
  };
}

/** Bilinear, as images are resized. */
function rescale(pixels: Pixels, scale: number): Pixels {
  if (scale === 1) return pixels;
  const [H, W] = [pixels.height, pixels.width].map((side) => Math.max(1, Math.round(scale * side)));
  const { height, width, scores } = resizeScores({ ...pixels, scores: pixels.image }, [H, W]);
  return { height, width, image: scores };
}

function mirrorPixels({ height, width, image }: Pixels): Pixels {
  return { height, width, image: mirrored(image, height, width) };
}

function mirrorScores({ height, width, scores }: ScoreMap): ScoreMap {
  return { height, width, scores: mirrored(scores, height, width) };
}

/** `[H, W, C]` with its columns in reverse. */
function mirrored(values: Float32Array, height: number, width: number): Float32Array {
  const C = values.length / (height * width);
  const result = new Float32Array(values.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const from = (row * width + column) * C;
      result.set(values.subarray(from, from + C), (row * width + width - 1 - column) * C);
    }
  }
  return result;
}
