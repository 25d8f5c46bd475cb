import { type Key, permutation, split, uniform } from "../src/random.ts";
import { brightness, color, contrast } from "./enhance.ts";
import type { Image } from "./resize.ts";

const ENHANCERS = [brightness, contrast, color];

/**
 * Changes brightness, contrast and saturation in random order, each by a factor that is uniform
 * in [max(0, 1 - strength), 1 + strength]: torchvision's ColorJitter as timm sets it, without hue.
 *
 * @param image Image `[H, W, C]`; what the factors mean for other than three channels, see
 * {@linkcode color}.
 * @param strength At least 0, where the image stays as it is.
 * @param key Decides all draws.
 * @returns Image `[H, W, C]`.
 */
export function colorJitter(image: Image, strength: number, key: Key): Image {
  if (strength === 0) return image;
  const [orderKey, factorKey] = split(key, 2);
  const least = Math.max(0, 1 - strength);
  const factors = uniform(factorKey, 3).map((draw) => least + (1 + strength - least) * draw);
  return permutation(orderKey, 3)
    .reduce((result, which) => ENHANCERS[which](result, factors[which]), image);
}
