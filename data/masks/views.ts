/** Views of images with their masks: pure functions that move both alike. */

import { type Key, split, uniform } from "../../src/random.ts";
import { flip, type Size } from "../augment.ts";
import type { Box, Image } from "../resize.ts";
import type { LabelRule } from "./label_rule.ts";
import type { Mask } from "./mask.ts";
import { photometricDistortion } from "./photometric.ts";
import { rescaledSize, resizeImage, resizeMask, type Scale } from "./resize.ts";

/** What makes a training view. */
export interface MaskViewSettings {
  readonly crop: Size;
  /** What `ratio` is of; the image's own size if null. */
  readonly scale: Scale | null;
  readonly ratio: readonly [min: number, max: number];
  /** Whether half of the views are mirrored. */
  readonly flip: boolean;
  /** Whether brightness, contrast and colours change. */
  readonly photometric: boolean;
  /** Share of a crop below which its largest class should stay; 1 takes any crop. */
  readonly categoryShare: number;
}

/** An image `[H, W, C]` and the classes of its pixels `[H, W]`. */
export interface Pair {
  readonly image: Image;
  readonly mask: Mask;
}

/**
 * Makes a training view as mmsegmentation 0.11 does: random resize, crop, flip, photometric
 * distortion. What is smaller than the crop stays so, for {@linkcode padPixels} and
 * {@linkcode padMask}.
 *
 * @param key Decides all draws.
 * @returns Image `[h, w, C]` and mask `[h, w]`, with h and w at most the crop's.
 */
export function maskView(
  { image, mask }: Pair,
  settings: MaskViewSettings,
  rule: LabelRule,
  key: Key,
): Pair {
  const [ratioKey, cropKey, flipKey, photometricKey] = split(key, 4);
  const [min, max] = settings.ratio;
  const ratio = min + (max - min) * uniform(ratioKey, 1)[0];
  const size = rescaledSize(image, settings.scale, ratio);
  const resized = resizeMask(mask, size);
  const box = maskCropBox(resized, settings, rule, cropKey);
  let cropped: Pair = {
    image: resizeImage(image, size, box),
    mask: resizeMask(resized, size, box), // of its own size: a crop
  };
  if (settings.flip && uniform(flipKey, 1)[0] < 0.5) {
    cropped = { image: flip(cropped.image), mask: flipMask(cropped.mask) };
  }
  if (!settings.photometric) return cropped;
  return { ...cropped, image: photometricDistortion(cropped.image, photometricKey) };
}

const TRIES = 10;

/**
 * Draws where a crop lies: the first of ten boxes that holds more than one class, the largest of
 * which has less than `categoryShare` of the pixels that count, else an eleventh as it comes, as
 * mmsegmentation's RandomCrop with `cat_max_ratio`.
 *
 * @param mask Classes `[H, W]`.
 * @returns A box of the crop's size, or of the mask's along an edge where that is smaller.
 */
export function maskCropBox(
  mask: Mask,
  { crop, categoryShare }: Pick<MaskViewSettings, "crop" | "categoryShare">,
  rule: LabelRule,
  key: Key,
): Box {
  const width = Math.min(crop.width, mask.width);
  const height = Math.min(crop.height, mask.height);
  const draws = uniform(key, 2 * TRIES + 2);
  const place = (i: number): Box => ({
    y: Math.floor(draws[2 * i] * (mask.height - height + 1)),
    x: Math.floor(draws[2 * i + 1] * (mask.width - width + 1)),
    ...{ width, height },
  });
  if (categoryShare >= 1) return place(0);
  for (let i = 0; i < TRIES; i++) {
    const box = place(i);
    if (largestShare(mask, box, rule) < categoryShare) return box;
  }
  return place(TRIES);
}

/** Share of the largest class in a box, of the pixels that are not ignored; 1 without any. */
function largestShare(mask: Mask, box: Box, { classes, ignoreIndex }: LabelRule): number {
  const counts = new Uint32Array(classes);
  let ignored = 0;
  for (let y = box.y; y < box.y + box.height; y++) {
    const row = y * mask.width;
    for (let i = row + box.x; i < row + box.x + box.width; i++) {
      const label = mask.labels[i];
      if (label === ignoreIndex) ignored++;
      else counts[label]++;
    }
  }
  const counted = box.width * box.height - ignored;
  return counted === 0 ? 1 : counts.reduce((a, b) => Math.max(a, b)) / counted;
}

/** Mirrors a mask left to right. */
export function flipMask({ width, height, labels }: Mask): Mask {
  const mirrored = labels.slice();
  for (let y = 0; y < height; y++) mirrored.subarray(y * width, (y + 1) * width).reverse();
  return { width, height, labels: mirrored };
}

/**
 * Pads normalised pixels with zeros, at the right and the bottom.
 *
 * @param pixels `[h, w, C]`.
 * @returns `[height, width, C]`; `pixels` itself if there is nothing to pad.
 */
export function padPixels(
  pixels: Float32Array<ArrayBuffer>,
  from: Size,
  to: Size,
): Float32Array<ArrayBuffer> {
  if (from.width === to.width && from.height === to.height) return pixels;
  const channels = pixels.length / (from.width * from.height);
  const padded = new Float32Array(to.width * to.height * channels);
  const row = from.width * channels;
  for (let y = 0; y < from.height; y++) {
    padded.set(pixels.subarray(y * row, (y + 1) * row), y * to.width * channels);
  }
  return padded;
}

/** Pads a mask with what is ignored, at the right and the bottom. */
export function padMask(mask: Mask, { width, height }: Size, ignoreIndex: number): Mask {
  if (mask.width === width && mask.height === height) return mask;
  const labels = new Uint16Array(width * height).fill(ignoreIndex);
  for (let y = 0; y < mask.height; y++) {
    labels.set(mask.labels.subarray(y * mask.width, (y + 1) * mask.width), y * width);
  }
  return { width, height, labels };
}
