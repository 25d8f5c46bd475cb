/** Hue and saturation of 8-bit images, in OpenCV's HSV of 180 hues. */

import { roundHalfEven } from "../augment.ts";
import type { Image } from "../resize.ts";
import { table } from "../tone.ts";

const HUES = 180;
const SHIFT = 12;

/** Multiplies the saturation by a factor, at least 0. */
export function saturate(image: Image, factor: number): Image {
  const saturations = table((value) => Math.fround(Math.fround(factor) * value));
  return recolour(image, (hue) => hue, saturations);
}

/** Turns the hue, by whole steps of 2°. */
export function turnHue(image: Image, steps: number): Image {
  return recolour(image, (hue) => (hue + steps % HUES + HUES) % HUES, table((value) => value));
}

// Reciprocals by which OpenCV divides.
const SATURATION = Int32Array.from({ length: 256 }, (_, i) => reciprocal(255, i));
const HUE = Int32Array.from({ length: 256 }, (_, i) => reciprocal(HUES / 6, i));

function reciprocal(of: number, by: number): number {
  return by === 0 ? 0 : roundHalfEven(of * 2 ** SHIFT / by);
}

/** Where red, green and blue are found in [v, p, q, t], for each sixth of the hues. */
const SECTORS = [[0, 3, 1], [2, 0, 1], [1, 0, 3], [1, 2, 0], [3, 1, 0], [0, 1, 2]] as const;

/**
 * Takes each pixel to HSV as OpenCV's `COLOR_RGB2HSV` does, changes it, and takes it back; the way
 * back rounds, as OpenCV's does one by one, where its code for many pixels truncates.
 *
 * @param image RGB `[H, W, 3]`.
 * @param saturations What becomes of each saturation `[256]`.
 */
function recolour(
  image: Image,
  hueOf: (hue: number) => number,
  saturations: ArrayLike<number>,
): Image {
  const { pixels } = image;
  const result = new Uint8ClampedArray(pixels.length); // rounds halves to even, as OpenCV
  const sixths = Float32Array.from(
    { length: HUES },
    (_, hue) => hueOf(hue) * Math.fround(6 / HUES),
  );
  const tab = new Float64Array(4);
  for (let i = 0; i < pixels.length; i += 3) {
    const [r, g, b] = [pixels[i], pixels[i + 1], pixels[i + 2]];
    const value = Math.max(r, g, b);
    const range = value - Math.min(r, g, b);
    const rise = value === r ? g - b : value === g ? b - r + 2 * range : r - g + 4 * range;
    const hue = rounded(rise * HUE[range]);
    const s = saturations[rounded(range * SATURATION[value])] / 255;
    const sixth = sixths[hue < 0 ? hue + HUES : hue];
    const sector = Math.floor(sixth);
    const within = sixth - sector;
    tab[0] = value;
    tab[1] = value * (1 - s);
    tab[2] = value * (1 - s * within);
    tab[3] = value * (1 - s * (1 - within));
    const places = SECTORS[sector];
    for (let c = 0; c < 3; c++) result[i + c] = tab[places[c]];
  }
  return { ...image, pixels: new Uint8Array(result.buffer) };
}

function rounded(fixed: number): number {
  return (fixed + (1 << (SHIFT - 1))) >> SHIFT;
}
