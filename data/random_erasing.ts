import { type Key, normal, split, uniform } from "../src/random.ts";
import { roundHalfEven, type Size } from "./augment.ts";

/** Random erasing, by timm's names. */
export interface Erasing {
  readonly probability: number;
  /** Filled with noise for each value, one normal colour, or zeros, which are the mean colour. */
  readonly mode: "pixel" | "rand" | "const";
}

const AREA = [0.02, 1 / 3] as const;
const ASPECT = [0.3, 1 / 0.3] as const;
const TRIES = 10;

/**
 * Erases a rectangle of a normalised image (arXiv:1708.04896), as timm's RandomErasing does once
 * an image. If none of ten fits, the image stays.
 *
 * @param pixels Normalised image `[H, W, C]`.
 * @returns A new image `[H, W, C]`, or `pixels` themselves if nothing is erased.
 */
export function randomErasing(
  pixels: Float32Array<ArrayBuffer>,
  { width, height }: Size,
  { probability, mode }: Erasing,
  key: Key,
): Float32Array<ArrayBuffer> {
  const [chanceKey, boxKey, noiseKey] = split(key, 3);
  if (uniform(chanceKey, 1)[0] >= probability) return pixels;
  const draws = uniform(boxKey, 2 * TRIES + 2);
  for (let tries = 0; tries < TRIES; tries++) {
    const size = erasedSize(width, height, draws[2 * tries], draws[2 * tries + 1]);
    if (!size.accepted) continue;
    const y = Math.floor(draws[2 * TRIES] * (height - size.height + 1));
    const x = Math.floor(draws[2 * TRIES + 1] * (width - size.width + 1));
    const channels = pixels.length / (width * height);
    const row = size.width * channels;
    const noise = fill(mode, noiseKey, size.height * row, channels);
    const result = pixels.slice();
    for (let i = 0; i < size.height; i++) {
      result.set(noise.subarray(i * row, (i + 1) * row), ((y + i) * width + x) * channels);
    }
    return result;
  }
  return pixels;
}

/**
 * Size of one try: uniform in area, log-uniform in aspect.
 *
 * @param area Uniform draw in [0, 1).
 * @param logRatio Uniform draw in [0, 1).
 * @returns The size in pixels, accepted if it is less than the image's.
 */
export function erasedSize(
  width: number,
  height: number,
  area: number,
  logRatio: number,
): Size & { readonly accepted: boolean } {
  const target = width * height * (AREA[0] + (AREA[1] - AREA[0]) * area);
  const [min, max] = ASPECT.map(Math.log);
  const aspect = Math.exp(min + (max - min) * logRatio); // height over width, unlike a crop's
  const h = roundHalfEven(Math.sqrt(target * aspect));
  const w = roundHalfEven(Math.sqrt(target / aspect));
  return { width: w, height: h, accepted: w < width && h < height };
}

function fill(
  mode: Erasing["mode"],
  key: Key,
  count: number,
  channels: number,
): Float32Array<ArrayBuffer> {
  if (mode === "const") return new Float32Array(count);
  if (mode === "pixel") return normal(key, count);
  const colour = normal(key, channels);
  return Float32Array.from({ length: count }, (_, i) => colour[i % channels]);
}
