import type { Key } from "../src/random.ts";
import { colorJitter } from "./color_jitter.ts";
import { fillOf, parseRandAugment, randAugment } from "./rand_augment.ts";
import type { Image } from "./resize.ts";

/** How training views change in appearance, as timm's `create_transform` has it. */
export interface Augment {
  /** Text of {@linkcode parseRandAugment}, which then takes the jitter's place. */
  readonly randAugment: string | null;
  /** Strength of {@linkcode colorJitter}; 0 for none. */
  readonly colorJitter: number;
}

/**
 * Makes what changes the bytes of a view, after its crop and before it is normalised: RandAugment,
 * bicubic like the crop and with the mean as fill, else jitter.
 *
 * @param mean Mean of each channel on a scale of 0 to 1 `[C]`.
 * @returns From an image `[H, W, C]` and the key of its draws to an image `[H, W, C]`.
 * @throws {RangeError} If the text cannot be read or the strength is negative.
 */
export function augmenter(
  { randAugment: text, colorJitter: strength }: Augment,
  mean: readonly number[],
): (image: Image, key: Key) => Image {
  if (!(strength >= 0 && strength < Infinity)) {
    throw new RangeError(`Cannot jitter colours: the strength is ${strength}, not at least 0`);
  }
  if (text === null) return (image, key) => colorJitter(image, strength, key);
  const policy = parseRandAugment(text);
  const settings = { ...policy, interpolation: "bicubic", fill: fillOf(mean) } as const;
  return (image, key) => randAugment(image, settings, key);
}
