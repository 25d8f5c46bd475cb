/** Views of clips: pure functions that do the same to all frames of a clip. */

import { type Key, normal, split, uniform } from "../../src/random.ts";
import { type CropRange, flip, randomResizedCropBox, type Size } from "../augment.ts";
import { randAugment, type RandAugmentSettings } from "../rand_augment.ts";
import { erasedSize, type Erasing } from "../random_erasing.ts";
import { type Box, crop, type Filter } from "../resize.ts";
import { type Clip, mapFrames, resizeClip } from "./clip.ts";
import { sizeOf } from "./video.ts";

/** Crop of TSN's multi-scale training: its size, and shares of the short side to draw from. */
export interface MultiScale extends Size {
  readonly kind: "multi-scale";
  /** VideoMAE's unless given: 1, 0.875, 0.75, 0.66. */
  readonly scales?: readonly number[];
}

/** Crop of random area and aspect, as for images. */
export interface RandomResized extends Size, CropRange {
  readonly kind: "random-resized";
}

/** How training views are cropped. */
export type ClipCrop = MultiScale | RandomResized;

/** What makes a training view. */
export interface ViewSettings {
  readonly crop: ClipCrop;
  /** Whether half of the views are mirrored; not where classes tell left from right, as in SSv2. */
  readonly flip: boolean;
  /** Resampling of the crop; VideoMAE's bilinear unless given. */
  readonly filter?: Filter;
  /** Before the crop; none if left out. */
  readonly randAugment?: RandAugmentSettings;
  /** After it, one box for all frames; none if left out. */
  readonly erase?: Erasing & Statistics;
}

/** What pixels are normalised with later, on a scale of 0 to 1 `[C]`. */
export interface Statistics {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * Makes a training view, in VideoMAE's order: RandAugment, crop, flip, erasing.
 *
 * @param clip Clip `[T, H, W, 3]`.
 * @param key Decides all draws.
 * @returns Clip `[T, height, width, 3]`.
 */
export function trainingView(clip: Clip, settings: ViewSettings, key: Key): Clip {
  const { crop, filter, randAugment, erase } = settings;
  const [cropKey, flipKey, appearanceKey, eraseKey] = split(key, 4);
  const changed = randAugment ? augmentClip(clip, randAugment, appearanceKey) : clip;
  const box = cropBox(clip, crop, cropKey);
  const cropped = resizeClip(changed, crop.width, crop.height, filter, box);
  const mirrored = settings.flip && uniform(flipKey, 1)[0] < 0.5 ? flipClip(cropped) : cropped;
  return erase ? eraseClip(mirrored, erase, eraseKey) : mirrored;
}

/** Draws the part of the frames that a training view shows. */
export function cropBox(size: Size, crop: ClipCrop, key: Key): Box {
  if (crop.kind === "multi-scale") return multiScaleBox(size, crop, uniform(key, 2));
  const draws = uniform(key, 22).values();
  return randomResizedCropBox(size.width, size.height, crop, () => draws.next().value!);
}

const SCALES = [1, 0.875, 0.75, 0.66] as const;
/** Where a box may lie, in quarters of the room to move, x and y. */
const PLACES = [
  ...[[0, 0], [4, 0], [0, 4], [4, 4], [2, 2]], // corners and centre
  ...[[0, 2], [4, 2], [2, 4], [2, 0]], // middles of the sides
  ...[[1, 1], [3, 1], [1, 3], [3, 3]], // centres of the quarters
] as const;

/**
 * Draws a box of TSN's multi-scale crop (arXiv:1507.02159, as in VideoMAE's pre-training): its sides
 * are two scales of the short side, at most one step apart in the list, at one of 13 places.
 *
 * @param draws Two uniform draws in [0, 1): of the sides, of the place.
 */
export function multiScaleBox(
  { width, height }: Size,
  target: MultiScale,
  draws: ArrayLike<number>,
): Box {
  const { scales = SCALES } = target;
  const short = Math.min(width, height);
  const sides = (wanted: number) =>
    scales.map((scale) => Math.trunc(short * scale))
      // A side that nearly has the target's length takes it, so that nothing is resampled.
      .map((side) => Math.abs(side - wanted) < 3 ? Math.min(wanted, short) : side);
  const [widths, heights] = [sides(target.width), sides(target.height)];
  const pairs = heights.flatMap((h, i) =>
    widths.flatMap((w, j) => Math.abs(i - j) <= 1 ? [{ width: w, height: h }] : [])
  );
  const size = pairs[Math.floor(draws[0] * pairs.length)];
  const [x, y] = PLACES[Math.floor(draws[1] * PLACES.length)];
  return {
    x: x * Math.floor((width - size.width) / 4),
    y: y * Math.floor((height - size.height) / 4),
    ...size,
  };
}

/** Mirrors all frames left to right. */
export function flipClip(clip: Clip): Clip {
  return mapFrames(clip, flip);
}

/** Applies the same random ops to all frames, see {@linkcode randAugment}. */
export function augmentClip(clip: Clip, settings: RandAugmentSettings, key: Key): Clip {
  return mapFrames(clip, (frame) => randAugment(frame, settings, key)); // a key, one set of draws
}

const TRIES = 10;

/**
 * Erases the same rectangle in all frames, as VideoMAE does ("cube"), with noise of each frame's own.
 *
 * Pixels that are normalised later are erased here as bytes: the colour is the one that becomes the
 * mode's normal noise or zero then, clipped to what a byte holds.
 *
 * @returns A new clip, or `clip` itself if nothing is erased.
 */
export function eraseClip(
  clip: Clip,
  { probability, mode, mean, std }: Erasing & Statistics,
  key: Key,
): Clip {
  const [chanceKey, boxKey, noiseKey] = split(key, 3);
  if (uniform(chanceKey, 1)[0] >= probability) return clip;
  const { frames, width, height, channels } = clip;
  const draws = uniform(boxKey, 2 * TRIES + 2);
  for (let tries = 0; tries < TRIES; tries++) {
    const size = erasedSize(width, height, draws[2 * tries], draws[2 * tries + 1]);
    if (!size.accepted) continue;
    const y = Math.floor(draws[2 * TRIES] * (height - size.height + 1));
    const x = Math.floor(draws[2 * TRIES + 1] * (width - size.width + 1));
    const row = size.width * channels;
    const count = mode === "pixel" ? frames * size.height * row : channels;
    const noise = mode === "const" ? new Float32Array(count) : normal(noiseKey, count);
    const colours = Uint8ClampedArray.from(noise, (z, i) => {
      const c = i % channels;
      return 255 * (mean[c] + std[c] * z);
    });
    const pixels = clip.pixels.slice();
    let from = 0;
    for (let t = 0; t < frames; t++) {
      for (let i = 0; i < size.height; i++) {
        const to = ((t * height + y + i) * width + x) * channels;
        for (let j = 0; j < row; j++) pixels[to + j] = colours[from++ % count];
      }
    }
    return { ...clip, pixels };
  }
  return clip;
}

/** Spatial views of a test clip: its size, and how many crops along the long side. */
export interface TestCrops extends Size {
  /** 3 in the published protocols: left, centre and right, or top, centre and bottom. */
  readonly crops: number;
  /** Short side to resize to; the crop's short side unless given. */
  readonly shortSide?: number;
  /** Bilinear unless given. */
  readonly filter?: Filter;
}

/**
 * Makes the spatial views of a test clip: resizes the short side, then cuts crops evenly spread
 * along the long side, and centred across it; a single crop is the centre.
 *
 * @param clip Clip `[T, H, W, 3]`.
 * @returns Clips `[T, height, width, 3]`.
 * @throws {RangeError} If the crop is larger than the resized frames.
 */
export function testViews(clip: Clip, crops: TestCrops): Clip[] {
  const { width, height, filter } = crops;
  const shortSide = crops.shortSide ?? Math.min(width, height);
  const size = sizeOf(clip, shortSide);
  if (size.width < width || size.height < height) {
    throw new RangeError(
      `Cannot crop ${width} × ${height} from frames of ${size.width} × ${size.height}`,
    );
  }
  const resized = resizeClip(clip, size.width, size.height, filter);
  return testBoxes(size, crops).map((box) => mapFrames(resized, (frame) => crop(frame, box)));
}

/** Where the crops of {@linkcode testViews} lie. */
export function testBoxes(size: Size, { width, height, crops }: TestCrops): Box[] {
  if (!(Number.isInteger(crops) && crops >= 1)) {
    throw new RangeError(`Cannot take ${crops} crops: not a positive integer`);
  }
  const [roomX, roomY] = [size.width - width, size.height - height];
  const centred = { x: Math.floor(roomX / 2), y: Math.floor(roomY / 2), width, height };
  if (crops === 1) return [centred];
  const tall = size.height >= size.width;
  return Array.from({ length: crops }, (_, i) => {
    const at = Math.trunc(i * ((tall ? roomY : roomX) / (crops - 1)));
    return tall ? { ...centred, y: at } : { ...centred, x: at };
  });
}
