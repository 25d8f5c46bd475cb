/**
 * RandAugment (arXiv:1909.13719) as timm's `auto_augment.py` has it, on Pillow's arithmetic.
 *
 * Some ops run backwards: in the plain list a higher magnitude posterises and solarises less, and
 * makes enhancers go from grey to vivid. The list "inc1" corrects that.
 */

import { fold, type Key, normal, split, uniform } from "../src/random.ts";
import { affine, rotate, type Sampling } from "./affine.ts";
import { brightness, color, contrast, sharpness } from "./enhance.ts";
import type { Image } from "./resize.ts";
import { autoContrast, equalize, invert, posterize, solarize, solarizeAdd } from "./tone.ts";

/** Name of an op, as timm's. */
export type RandAugmentOpName =
  | `${"Posterize" | "Solarize" | "Color" | "Contrast" | "Brightness" | "Sharpness"}${
    | ""
    | "Increasing"}`
  | "AutoContrast"
  | "Equalize"
  | "Invert"
  | "Rotate"
  | "SolarizeAdd"
  | `Shear${"X" | "Y"}`
  | `Translate${"X" | "Y"}${"" | "Rel"}`;

/** An op of RandAugment. */
export interface RandAugmentOp {
  /** The op's argument at a level in [0, 10]; the sign is drawn. Left out: it takes none. */
  readonly argument?: (level: number, sign: 1 | -1) => number;
  /** Image `[H, W, C]`, argument and, for geometry, how to sample → a new image `[H, W, C]`. */
  readonly apply: (image: Image, argument: number, sampling: Sampling) => Image;
}

/** Greatest level, at which an argument is at the end of its range. */
const MAX_LEVEL = 10;
/** What TranslateX and TranslateY shift at most, in pixels: int(0.45 · 224). */
const TRANSLATE = 100;

const upTo = (most: number) => (level: number) => Math.trunc(level / MAX_LEVEL * most);
const downFrom = (most: number) => (level: number) => most - upTo(most)(level);
const signed = (most: number) => (level: number, sign: number) => sign * (level / MAX_LEVEL * most);
const factor = (level: number) => level / MAX_LEVEL * 1.8 + 0.1;
const changed = (level: number, sign: number) => Math.max(0.1, 1 + signed(0.9)(level, sign));

const shift = (image: Image, x: number, y: number, sampling: Sampling) =>
  affine(image, [1, 0, x, 0, 1, y], sampling);

/**
 * All ops by timm's names. Tables and geometry treat each channel alone, whatever their number;
 * Color is the identity on one channel, and for other than three it and Contrast take the mean of
 * the channels for grey.
 */
export const RAND_AUGMENT_OPS: Readonly<Record<RandAugmentOpName, RandAugmentOp>> = {
  AutoContrast: { apply: autoContrast },
  Equalize: { apply: equalize },
  Invert: { apply: invert },
  Rotate: { argument: signed(30), apply: rotate },
  Posterize: { argument: upTo(4), apply: posterize },
  PosterizeIncreasing: { argument: downFrom(4), apply: posterize },
  Solarize: { argument: upTo(256), apply: solarize },
  SolarizeIncreasing: { argument: downFrom(256), apply: solarize },
  SolarizeAdd: { argument: upTo(110), apply: solarizeAdd },
  Color: { argument: factor, apply: color },
  ColorIncreasing: { argument: changed, apply: color },
  Contrast: { argument: factor, apply: contrast },
  ContrastIncreasing: { argument: changed, apply: contrast },
  Brightness: { argument: factor, apply: brightness },
  BrightnessIncreasing: { argument: changed, apply: brightness },
  Sharpness: { argument: factor, apply: sharpness },
  SharpnessIncreasing: { argument: changed, apply: sharpness },
  ShearX: {
    argument: signed(0.3),
    apply: (image, slope, sampling) => affine(image, [1, slope, 0, 0, 1, 0], sampling),
  },
  ShearY: {
    argument: signed(0.3),
    apply: (image, slope, sampling) => affine(image, [1, 0, 0, slope, 1, 0], sampling),
  },
  TranslateX: {
    argument: signed(TRANSLATE),
    apply: (image, pixels, sampling) => shift(image, pixels, 0, sampling),
  },
  TranslateY: {
    argument: signed(TRANSLATE),
    apply: (image, pixels, sampling) => shift(image, 0, pixels, sampling),
  },
  TranslateXRel: {
    argument: signed(0.45),
    apply: (image, share, sampling) => shift(image, share * image.width, 0, sampling),
  },
  TranslateYRel: {
    argument: signed(0.45),
    apply: (image, share, sampling) => shift(image, 0, share * image.height, sampling),
  },
};

const PLAIN: readonly RandAugmentOpName[] = [
  ...["AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize"] as const,
  ...["SolarizeAdd", "Color", "Contrast", "Brightness", "Sharpness"] as const,
  ...["ShearX", "ShearY", "TranslateXRel", "TranslateYRel"] as const,
];
const INCREASING = PLAIN.map((name) => {
  const increasing = `${name}Increasing`;
  return increasing in RAND_AUGMENT_OPS ? increasing as RandAugmentOpName : name;
});

/** What the text of {@linkcode parseRandAugment} says. */
export interface RandAugmentPolicy {
  /** Ops drawn for an image, each from the whole list. */
  readonly layers: number;
  /** Probability that a drawn op is applied. */
  readonly probability: number;
  /** Mean level, 0 to 10. */
  readonly magnitude: number;
  /** Standard deviation of the level; infinite makes it uniform in [0, magnitude]. */
  readonly magnitudeStd: number;
  readonly ops: readonly RandAugmentOpName[];
}

/** A policy, and how geometric ops sample; "random" is bilinear or bicubic. */
export interface RandAugmentSettings extends RandAugmentPolicy {
  readonly interpolation: "bilinear" | "bicubic" | "random";
  /** Colour beyond the edge, bytes `[C]`; timm takes {@linkcode fillOf} the mean. */
  readonly fill: readonly number[];
}

/** An op with all that was drawn for it. */
export interface DrawnOp {
  readonly name: RandAugmentOpName;
  /** 0 for an op that takes none. */
  readonly argument: number;
  readonly interpolation: "bilinear" | "bicubic";
}

/**
 * Reads timm's text, such as `rand-m9-mstd0.5-inc1`: `m` is the magnitude (10), `mstd` its standard
 * deviation (0; uniform above 100), `n` the number of layers (2), `p` the probability of each (0.5),
 * and `inc1` chooses the increasing list.
 *
 * @throws {RangeError} If a part is unknown or out of its range.
 */
export function parseRandAugment(text: string): RandAugmentPolicy {
  const [kind, ...parts] = text.split("-");
  const fail = (reason: string): never => {
    throw new RangeError(`Cannot read the RandAugment settings "${text}": ${reason}`);
  };
  if (kind !== "rand") fail(`they begin with "${kind}", not with "rand"`);
  const values = { m: MAX_LEVEL, mstd: 0, n: 2, p: 0.5, inc: 0 };
  for (const part of parts) {
    const [, found, digits] = part.match(/^(m|mstd|n|p|inc)(\d+(?:\.\d+)?|inf)$/) ?? [];
    if (!found) fail(`"${part}" is none of m, mstd, n, p and inc with a number`);
    const name = found as keyof typeof values;
    const value = digits === "inf" ? Infinity : Number(digits);
    const [least, most, whole] = LIMITS[name];
    if (value < least || value > most || (whole && !Number.isInteger(value))) {
      fail(
        `${name} is ${value}, not ${whole ? "an integer" : "a number"} from ${least} to ${most}`,
      );
    }
    values[name] = value;
  }
  return {
    layers: values.n,
    probability: values.p,
    magnitude: values.m,
    magnitudeStd: values.mstd > 100 ? Infinity : values.mstd,
    ops: values.inc ? INCREASING : PLAIN,
  };
}

/** Least and greatest value of each part, and whether it is an integer. */
const LIMITS = {
  m: [0, MAX_LEVEL, false],
  mstd: [0, Infinity, false],
  n: [1, 100, true],
  p: [0, 1, false],
  inc: [0, 1, true],
} as const;

/** The mean of the data as a colour, by timm's rounding. */
export function fillOf(mean: readonly number[]): number[] {
  return [...Uint8ClampedArray.from(mean, (value) => 255 * value)]; // halves to even, as Python
}

/**
 * Draws what {@linkcode randAugment} does to one image: for each layer an op of the list, with
 * replacement, which is applied or not, a level normal about the magnitude and clipped to 0 … 10,
 * and either sign.
 *
 * @param key Decides all draws.
 * @returns The ops to apply, in order; at most as many as there are layers.
 */
export function drawOps(settings: Omit<RandAugmentSettings, "fill">, key: Key): DrawnOp[] {
  const { layers, probability, magnitude, magnitudeStd, ops, interpolation } = settings;
  const drawn: DrawnOp[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const [choiceKey, noiseKey] = split(fold(key, layer), 2);
    const [which, applied, side, cubic, share] = uniform(choiceKey, 5);
    if (applied >= probability) continue;
    const noisy = magnitudeStd === Infinity
      ? share * magnitude
      : magnitude + magnitudeStd * normal(noiseKey, 1)[0];
    const level = Math.min(Math.max(noisy, 0), MAX_LEVEL);
    const name = ops[Math.floor(which * ops.length)];
    const { argument }: RandAugmentOp = RAND_AUGMENT_OPS[name];
    drawn.push({
      name,
      argument: argument?.(level, side < 0.5 ? 1 : -1) ?? 0,
      interpolation: interpolation !== "random"
        ? interpolation
        : cubic < 0.5
        ? "bilinear"
        : "bicubic",
    });
  }
  return drawn;
}

/**
 * Applies random ops to an image.
 *
 * @param image Image `[H, W, C]`.
 * @param key Decides all draws, see {@linkcode drawOps}.
 * @returns Image `[H, W, C]`; the same one if nothing is applied.
 * @throws {RangeError} If the fill has another number of channels.
 */
export function randAugment(image: Image, settings: RandAugmentSettings, key: Key): Image {
  const { fill } = settings;
  return drawOps(settings, key).reduce((result, { name, argument, interpolation }) => {
    const { apply }: RandAugmentOp = RAND_AUGMENT_OPS[name];
    return apply(result, argument, { interpolation, fill });
  }, image);
}
