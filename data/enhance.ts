/**
 * Enhancers that equal Pillow's ImageEnhance to the bit. Each goes from a degenerate image (grey,
 * black or blurred) at factor 0 through the image itself at 1 and on beyond it.
 */

import type { Image } from "./resize.ts";
import { lookUp, table } from "./tone.ts";

/**
 * Changes the saturation, from grey on. One channel has none and stays as it is; the grey of other
 * than three channels is their mean.
 *
 * @param image Image `[H, W, C]`.
 * @param factor At least 0.
 * @returns Image `[H, W, C]`.
 */
export function color(image: Image, factor: number): Image {
  const { channels, pixels } = image;
  if (channels === 1) return image;
  const alpha = Math.fround(factor);
  const result = new Uint8ClampedArray(pixels.length);
  const greys = grey(image);
  for (let i = 0, p = 0; i < greys.length; i++) {
    for (let c = 0; c < channels; c++, p++) {
      result[p] = Math.floor(blend(greys[i], pixels[p], alpha));
    }
  }
  return { ...image, pixels: new Uint8Array(result.buffer) };
}

/** Changes the contrast, from the mean grey on; otherwise as {@linkcode color}. */
export function contrast(image: Image, factor: number): Image {
  const greys = grey(image);
  const mean = Math.floor(greys.reduce((sum, value) => sum + value, 0) / greys.length + 0.5);
  return lookUp(image, [table((value) => blend(mean, value, Math.fround(factor)))]);
}

/** Changes the brightness, from black on; any number of channels. */
export function brightness(image: Image, factor: number): Image {
  return lookUp(image, [table((value) => blend(0, value, Math.fround(factor)))]);
}

/** Changes the sharpness, from a slight blur of 3 × 3 pixels on; the outermost pixels stay. */
export function sharpness(image: Image, factor: number): Image {
  const { width, height, channels, pixels } = image;
  const alpha = Math.fround(factor);
  const stride = width * channels;
  const result = new Uint8ClampedArray(pixels);
  for (let y = 1; y < height - 1; y++) {
    for (let p = y * stride + channels; p < (y + 1) * stride - channels; p++) {
      const above = pixels[p - stride - channels] + pixels[p - stride] +
        pixels[p - stride + channels];
      const beside = pixels[p - channels] + 5 * pixels[p] + pixels[p + channels];
      const below = pixels[p + stride - channels] + pixels[p + stride] +
        pixels[p + stride + channels];
      // Of thirteenths none is so near a half that Pillow's float32 sums could round otherwise.
      const blurred = Math.floor((above + beside + below) / 13 + 0.5);
      result[p] = Math.floor(blend(blurred, pixels[p], alpha));
    }
  }
  return { ...image, pixels: new Uint8Array(result.buffer) };
}

/** Luma of ITU-R BT.601 in Pillow's fixed point: `convert("L")` of `[…, 3]`. */
export function luma(rgb: Uint8Array): Uint8Array<ArrayBuffer> {
  const grey = new Uint8Array(rgb.length / 3);
  for (let i = 0, p = 0; i < grey.length; i++, p += 3) {
    grey[i] = (19595 * rgb[p] + 38470 * rgb[p + 1] + 7471 * rgb[p + 2] + 0x8000) >> 16;
  }
  return grey;
}

/** One value a pixel `[H, W]`: luma of three channels, else their mean. */
function grey({ channels, pixels }: Image): Uint8Array {
  if (channels === 1) return pixels;
  if (channels === 3) return luma(pixels);
  const means = new Uint8Array(pixels.length / channels);
  for (let i = 0, p = 0; i < means.length; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += pixels[p++];
    means[i] = Math.floor(sum / channels + 0.5);
  }
  return means;
}

/** From `base` at alpha 0 to `value` at 1, in Pillow's float32 steps; not yet truncated. */
function blend(base: number, value: number, alpha: number): number {
  return Math.fround(base + Math.fround(alpha * (value - base)));
}
