import { type Key, uniform } from "../../src/random.ts";
import { brightness as multiply } from "../enhance.ts";
import type { Image } from "../resize.ts";
import { lookUp, table } from "../tone.ts";
import { saturate, turnHue } from "./hsv.ts";

const BRIGHTNESS = 32;
const FACTORS = [0.5, 1.5] as const;
const HUE = 18; // of 180

/**
 * Changes brightness, contrast, saturation and hue, each in half of the cases, and contrast before
 * or after the colours: mmsegmentation's PhotoMetricDistortion. Its contrast is a factor, with
 * black as it is. Other than three channels get no change of colour.
 *
 * @param image Image `[H, W, C]`.
 * @param key Decides all draws.
 * @returns Image `[H, W, C]`.
 */
export function photometricDistortion(image: Image, key: Key): Image {
  const draws = uniform(key, 9);
  const within = (draw: number, min: number, max: number) => min + (max - min) * draws[draw];
  const maybe = (chance: number, change: (image: Image) => Image) => (image: Image) =>
    draws[chance] < 0.5 ? change(image) : image;

  const brighten = maybe(0, (image) => shift(image, within(1, -BRIGHTNESS, BRIGHTNESS)));
  const contrast = maybe(2, (image) => multiply(image, within(3, ...FACTORS)));
  const colours = image.channels !== 3 ? [] : [
    maybe(4, (image) => saturate(image, within(5, ...FACTORS))),
    maybe(6, (image) => turnHue(image, Math.floor(within(7, -HUE, HUE)))), // 18 itself never
  ];
  const changes = draws[8] < 0.5 ? [contrast, ...colours] : [...colours, contrast];
  return [brighten, ...changes].reduce((result, change) => change(result), image);
}

/** Adds to every value. */
function shift(image: Image, addend: number): Image {
  return lookUp(image, [table((value) => Math.fround(value + Math.fround(addend)))]);
}
