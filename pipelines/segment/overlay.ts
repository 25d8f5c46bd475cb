/**
 * Pictures of masks: an image, its truth and a prediction, side by side.
 *
 * @module
 */

/**
 * Colour of a class, as Pascal VOC's palette has them: distinct, and the same in every picture. Class 0
 * is black.
 */
export function classColour(label: number): readonly [red: number, green: number, blue: number] {
  const colour = [0, 0, 0];
  for (let bit = 7, rest = label; rest > 0; bit--, rest >>= 3) {
    for (let rgb = 0; rgb < 3; rgb++) colour[rgb] |= (rest >> rgb & 1) << bit;
  }
  return colour as unknown as readonly [number, number, number];
}

/** How much of a class's colour is laid over an image. */
const SHARE = 0.55;

/** What a label stands for in a picture. */
export interface Legend {
  /** Labels of so many or more are ignored. */
  readonly classes: number;
  /** Whether class 0 is what is not looked for, and keeps the image's colours. */
  readonly hasBackground: boolean;
}

/** The legend of classes with or without names: of two, or by its name, the first is background. */
export function legendOf(classes: number, names?: readonly string[]): Legend {
  return { classes, hasBackground: names ? /^background$/i.test(names[0]) : classes === 2 };
}

/**
 * Lays the colours of classes over an image; pixels that are ignored become dark.
 *
 * @param colours RGB `[H, W, 3]`.
 * @param labels `[H, W]`.
 */
export function overlay(
  colours: Uint8Array,
  labels: ArrayLike<number>,
  { classes, hasBackground }: Legend,
): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(colours);
  for (let pixel = 0; pixel < labels.length; pixel++) {
    const label = labels[pixel];
    if (label === 0 && hasBackground) continue;
    const colour = label < classes ? classColour(label + Number(!hasBackground)) : [0, 0, 0];
    for (let rgb = 0; rgb < 3; rgb++) {
      const at = 3 * pixel + rgb;
      result[at] = Math.round((1 - SHARE) * colours[at] + SHARE * colour[rgb]);
    }
  }
  return result;
}

/**
 * Normalised pixels as colours.
 *
 * @param image `[H, W, C]`; one channel is shown as grey, of more than three the first ones.
 * @returns RGB `[H, W, 3]`.
 */
export function coloursOf(
  image: Float32Array,
  { mean, std }: { readonly mean: readonly number[]; readonly std: readonly number[] },
): Uint8Array<ArrayBuffer> {
  const C = mean.length;
  const pixels = image.length / C;
  const colours = new Uint8Array(3 * pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let rgb = 0; rgb < 3; rgb++) {
      const channel = C < 3 ? 0 : rgb;
      const value = image[pixel * C + channel] * std[channel] + mean[channel];
      colours[3 * pixel + rgb] = Math.min(255, Math.max(0, Math.round(255 * value)));
    }
  }
  return colours;
}
