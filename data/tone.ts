/**
 * Operations that change each value by a table, as Pillow's ImageOps and timm's `solarize_add` do.
 * They take any number of channels: each has its own histogram.
 */

import type { Image } from "./resize.ts";

/** Stretches each channel to all of 0 … 255. */
export function autoContrast(image: Image): Image {
  return lookUp(
    image,
    histograms(image).map((counts) => {
      const low = counts.findIndex((count) => count > 0);
      const high = counts.findLastIndex((count) => count > 0);
      if (high <= low) return table((value) => value);
      const scale = 255 / (high - low);
      const offset = -low * scale;
      return table((value) => value * scale + offset);
    }),
  );
}

/** Makes all values of each channel about equally frequent. */
export function equalize(image: Image): Image {
  return lookUp(
    image,
    histograms(image).map((counts) => {
      const last = counts.findLast((count) => count > 0) ?? 0;
      // The last value's own pixels do not count, so it may reach 255.
      const step = Math.floor((image.width * image.height - last) / 255);
      if (step === 0) return table((value) => value);
      let below = Math.floor(step / 2);
      return table((value) => {
        const level = below / step;
        below += counts[value];
        return level;
      });
    }),
  );
}

/** Makes a negative. */
export function invert(image: Image): Image {
  return lookUp(image, [table((value) => 255 - value)]);
}

/** Keeps the highest `bits` of each value, 0 to 8; none at all makes it black. */
export function posterize(image: Image, bits: number): Image {
  return lookUp(image, [table((value) => value >> (8 - bits) << (8 - bits))]);
}

/** Inverts values of at least `threshold`. */
export function solarize(image: Image, threshold: number): Image {
  return lookUp(image, [table((value) => value < threshold ? value : 255 - value)]);
}

/** Adds to values below 128. */
export function solarizeAdd(image: Image, addend: number): Image {
  return lookUp(image, [table((value) => value < 128 ? value + addend : value)]);
}

/** Results of a function for the values 0 … 255 in order, truncated and clamped to bytes. */
export function table(value: (value: number) => number): Uint8ClampedArray {
  return Uint8ClampedArray.from({ length: 256 }, (_, i) => Math.floor(value(i)));
}

/**
 * Replaces each value by its entry in a table.
 *
 * @param image Image `[H, W, C]`.
 * @param tables A table for each channel, or one for all.
 * @returns A new image `[H, W, C]`.
 */
export function lookUp(image: Image, tables: readonly Uint8ClampedArray[]): Image {
  const { channels, pixels } = image;
  const result = new Uint8Array(pixels.length);
  for (let c = 0; c < channels; c++) {
    const values = tables[c % tables.length];
    for (let i = c; i < pixels.length; i += channels) result[i] = values[pixels[i]];
  }
  return { ...image, pixels: result };
}

/** How often each value occurs, a channel each `[256]`. */
function histograms({ channels, pixels }: Image): Uint32Array[] {
  return Array.from({ length: channels }, (_, c) => {
    const counts = new Uint32Array(256);
    for (let i = c; i < pixels.length; i += channels) counts[pixels[i]]++;
    return counts;
  });
}
