/**
 * Scenes of things before a photo, of which every pixel is known: what is copied and pasted need
 * not be outlined by hand (Dwibedi et al., Cut, Paste and Learn, arXiv:1708.01642).
 *
 * @module
 */
import { fold, type Key, permutation, uniform } from "../../src/random.ts";
import { flip, type Size } from "../augment.ts";
import { type Image, resize } from "../resize.ts";
import type { Cutout } from "./find.ts";

/** A thing in a scene, as far as it is seen. */
export interface Instance {
  /** Of the cut-out. */
  readonly name: string;
  /** 1 where it is seen `[H, W]`. */
  readonly mask: Uint8Array<ArrayBuffer>;
  /** Bounds of the mask, in pixels. */
  readonly box: readonly [x: number, y: number, width: number, height: number];
}

/** A picture and what is where in it. */
export interface Scene {
  /** RGB `[H, W, 3]`. */
  readonly image: Image;
  /** 1 on things, 0 elsewhere `[H, W]`. */
  readonly labels: Uint8Array<ArrayBuffer>;
  /** From back to front; without those of which next to nothing is seen. */
  readonly instances: readonly Instance[];
}

const MOST_THINGS = 2;
/** A thing's long side, as a share of the scene's short side. */
const SIDE = [0.4, 0.9] as const;
/** Share of a thing's width, and of its height, that may be outside: 0.78² = 61 % are inside. */
const OUTSIDE = 0.22;
/** Least share of the photo's largest crop of the scene's shape, a side. */
const CROP = 0.6;
const LEAST_PIXELS = 16;
/** Pixels that the background blurs into one: it is out of focus, as behind what a camera looks at. */
const BLUR = 6;

const BACKGROUND = 0, CHOICE = 1, THING = 2; // keys beneath a scene's

/**
 * Puts one or two things before a part of a photo, mirrored or not; later ones hide earlier ones.
 *
 * A pixel belongs to the foremost thing whose alpha is at least one half there.
 *
 * @param photo RGB `[H, W, 3]`.
 * @param cutouts To choose from, each once at most.
 * @param key Decides everything that is random.
 * @param size Of the scene, in pixels.
 * @throws {RangeError} If there is nothing to choose from.
 */
export function composeScene(
  photo: Image,
  cutouts: readonly Cutout[],
  key: Key,
  size: Size,
): Scene {
  if (cutouts.length === 0) throw new RangeError("Cannot compose a scene: there are 0 cut-outs");
  const { width, height } = size;
  const image = background(photo, fold(key, BACKGROUND), size);
  const count = 1 + Math.floor(MOST_THINGS * uniform(fold(key, CHOICE, 0), 1)[0]);
  const chosen = [...permutation(fold(key, CHOICE, 1), cutouts.length).subarray(0, count)];
  const owners = new Uint8Array(width * height); // 0 for the background, else 1, 2, …
  for (const [i, index] of chosen.entries()) {
    paste(image, owners, i + 1, cutouts[index].image, fold(key, THING, i));
  }
  const instances = chosen.map((index, i): Instance => {
    const mask = owners.map((owner) => Number(owner === i + 1));
    return { name: cutouts[index].name, mask, box: boundsOf(mask, width) };
  });
  return {
    image,
    labels: owners.map((owner) => Math.min(owner, 1)),
    instances: instances.filter(({ mask }) =>
      mask.reduce((sum, seen) => sum + seen, 0) >= LEAST_PIXELS
    ),
  };
}

/** A part of a photo, of the scene's shape, out of focus: what is in focus is a thing. */
function background(photo: Image, key: Key, { width, height }: Size): Image {
  const [share, left, top, turn] = uniform(key, 4);
  const scale = (CROP + (1 - CROP) * share) * Math.min(photo.width / width, photo.height / height);
  const [w, h] = [width, height].map((length) => Math.max(1, Math.floor(length * scale)));
  const x = Math.floor(left * (photo.width - w + 1));
  const y = Math.floor(top * (photo.height - h + 1));
  const [few, rows] = [width, height].map((length) => Math.max(1, Math.round(length / BLUR)));
  const coarse = resize(photo, few, rows, "bilinear", { x, y, width: w, height: h });
  const part = resize(coarse, width, height, "bicubic");
  return turn < 0.5 ? part : flip(part);
}

/** Blends a thing into `image` and writes `owner` where it is at least half opaque. */
function paste(image: Image, owners: Uint8Array, owner: number, cutout: Image, key: Key): void {
  const { width, height, pixels } = image;
  const [share, left, top, turn] = uniform(key, 4);
  const side = (SIDE[0] + (SIDE[1] - SIDE[0]) * share) * Math.min(width, height);
  const scale = side / Math.max(cutout.width, cutout.height);
  const [w, h] = [cutout.width, cutout.height].map((n) => Math.max(1, Math.round(n * scale)));
  // Colours are times alpha, so that what is beneath transparent pixels counts for nothing.
  const resized = resize(cutout, w, h, "bilinear");
  const thing = turn < 0.5 ? resized : flip(resized);
  const x0 = placeOf(left, w, width);
  const y0 = placeOf(top, h, height);
  for (let y = Math.max(0, y0); y < Math.min(height, y0 + h); y++) {
    for (let x = Math.max(0, x0); x < Math.min(width, x0 + w); x++) {
      const to = y * width + x;
      const from = 4 * ((y - y0) * w + x - x0);
      const alpha = thing.pixels[from + 3];
      for (let c = 0; c < 3; c++) {
        const behind = pixels[3 * to + c] * (255 - alpha) / 255;
        pixels[3 * to + c] = Math.min(255, Math.round(thing.pixels[from + c] + behind));
      }
      if (alpha >= 128) owners[to] = owner;
    }
  }
}

/** Where a thing begins along an axis, perhaps before the scene's edge. */
function placeOf(draw: number, length: number, available: number): number {
  const outside = Math.floor(OUTSIDE * length);
  return Math.floor(draw * (available - length + 2 * outside + 1)) - outside;
}

function boundsOf(mask: Uint8Array, width: number): Instance["box"] {
  let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
  mask.forEach((seen, i) => {
    if (!seen) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  });
  return right < 0 ? [0, 0, 0, 0] : [left, top, right - left + 1, bottom - top + 1];
}
