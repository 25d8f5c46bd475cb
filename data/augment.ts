import { type Box, crop, type Image, resize } from "./resize.ts";

/** Mean and standard deviation of ImageNet's channels, on a scale of 0 to 1. */
export const IMAGENET_MEAN: readonly number[] = [0.485, 0.456, 0.406];
export const IMAGENET_STD: readonly number[] = [0.229, 0.224, 0.225];

/** Ranges of a random crop. */
export interface CropRange {
  /** Share of the image's area. */
  readonly scale: readonly [min: number, max: number];
  /** Width over height; 3/4 to 4/3 unless given. */
  readonly ratio?: readonly [min: number, max: number];
}

/** Width and height in pixels. */
export type Size = Pick<Image, "width" | "height">;

const ASPECT = [3 / 4, 4 / 3] as const;

/**
 * Draws the box of torchvision's RandomResizedCrop: ten tries, then the largest centred box whose
 * aspect is in range.
 *
 * @param draw Uniform in [0, 1); called at most 22 times.
 */
export function randomResizedCropBox(
  width: number,
  height: number,
  range: CropRange,
  draw: () => number,
): Box {
  for (let tries = 0; tries < 10; tries++) {
    const size = randomCropSize(width, height, range, draw(), draw());
    if (!size.accepted) continue;
    const y = Math.floor(draw() * (height - size.height + 1));
    const x = Math.floor(draw() * (width - size.width + 1));
    return { x, y, width: size.width, height: size.height };
  }
  return fallbackCropBox(width, height, range.ratio);
}

/**
 * Size of one try: uniform in area, log-uniform in aspect.
 *
 * @param area Uniform draw in [0, 1).
 * @param logRatio Uniform draw in [0, 1).
 * @returns The size in pixels, accepted if it fits the image.
 */
export function randomCropSize(
  width: number,
  height: number,
  { scale, ratio = ASPECT }: CropRange,
  area: number,
  logRatio: number,
): Size & { readonly accepted: boolean } {
  const target = width * height * (scale[0] + (scale[1] - scale[0]) * area);
  const [min, max] = ratio.map(Math.log);
  const aspect = Math.exp(min + (max - min) * logRatio);
  const w = roundHalfEven(Math.sqrt(target * aspect));
  const h = roundHalfEven(Math.sqrt(target / aspect));
  return { width: w, height: h, accepted: w > 0 && w <= width && h > 0 && h <= height };
}

/** Largest centred box whose aspect is in range. */
export function fallbackCropBox(
  width: number,
  height: number,
  [min, max]: readonly [min: number, max: number] = ASPECT,
): Box {
  let w = width;
  let h = height;
  if (width / height < min) h = roundHalfEven(width / min);
  else if (width / height > max) w = roundHalfEven(height * max);
  return { x: Math.floor((width - w) / 2), y: Math.floor((height - h) / 2), width: w, height: h };
}

/**
 * Crops for evaluation as MAE does: resize so that the crop is 7/8 of it (all of it above 224
 * pixels), bicubic, then crop the centre.
 *
 * @param image Image `[H, W, C]`.
 * @param cropPct Share of the resized image's side that the crop takes; 1 leaves no margin.
 * @returns Image `[height, width, C]`.
 */
export function evaluationCrop(
  image: Image,
  width: number,
  height: number,
  cropPct?: number,
): Image {
  const size = evaluationSize(image, width, height, cropPct);
  return centerCrop(resize(image, size.width, size.height, "bicubic"), width, height);
}

/**
 * Size to which {@linkcode evaluationCrop} resizes: the least one of the image's aspect that covers
 * the crop and its margin. For a square crop that is torchvision's Resize: the short side is met,
 * the long side truncated.
 */
export function evaluationSize(
  image: Size,
  width: number,
  height: number,
  cropPct: number = Math.max(width, height) > 224 ? 1 : 224 / 256,
): Size {
  const w = Math.trunc(width / cropPct);
  const h = Math.trunc(height / cropPct);
  return image.width * h >= image.height * w
    ? { width: Math.trunc(h * image.width / image.height), height: h }
    : { width: w, height: Math.trunc(w * image.height / image.width) };
}

/** Crops the centre as torchvision does; a smaller image is first surrounded by zeros. */
export function centerCrop(image: Image, width: number, height: number): Image {
  const padded = padTo(image, width, height);
  return crop(padded, {
    x: roundHalfEven((padded.width - width) / 2),
    y: roundHalfEven((padded.height - height) / 2),
    width,
    height,
  });
}

/** Mirrors an image left to right. */
export function flip(image: Image): Image {
  const { width, height, channels } = image;
  const pixels = new Uint8Array(image.pixels.length);
  let out = 0;
  for (let y = 0; y < height; y++) {
    for (let x = width - 1; x >= 0; x--) {
      const from = (y * width + x) * channels;
      for (let c = 0; c < channels; c++) pixels[out++] = image.pixels[from + c];
    }
  }
  return { width, height, channels, pixels };
}

/**
 * Scales pixels to 0 … 1 and normalises each channel, in the float32 steps of torchvision.
 *
 * @param image Image `[H, W, C]`.
 * @param mean Mean of each channel `[C]`.
 * @param std Standard deviation of each channel `[C]`.
 * @returns `[H, W, C]`.
 * @throws {RangeError} If `mean` or `std` has another number of channels.
 */
export function normalise(
  image: Image,
  mean: readonly number[],
  std: readonly number[],
): Float32Array<ArrayBuffer> {
  return normaliser(mean, std)(image);
}

/** Makes {@linkcode normalise} for many images: its table costs more than a small image. */
export function normaliser(
  mean: readonly number[],
  std: readonly number[],
): (image: Image) => Float32Array<ArrayBuffer> {
  const channels = mean.length;
  // A pixel has 256 values, so a table does all the arithmetic.
  const table = Float32Array.from({ length: 256 * channels }, (_, i) => {
    const c = i % channels;
    const unit = Math.fround(Math.floor(i / channels) / 255);
    return Math.fround(unit - Math.fround(mean[c])) / Math.fround(std[c]);
  });
  return ({ pixels, channels: found }) => {
    if (channels !== found || std.length !== found) {
      throw new RangeError(
        `Cannot normalise ${found} channels: mean has ${channels}, std has ${std.length}`,
      );
    }
    const result = new Float32Array(pixels.length);
    for (let i = 0; i < pixels.length; i += channels) {
      for (let c = 0; c < channels; c++) result[i + c] = table[pixels[i + c] * channels + c];
    }
    return result;
  };
}

/** Surrounds an image with zeros until it covers `width` × `height`; an odd pixel goes last. */
function padTo(image: Image, width: number, height: number): Image {
  if (image.width >= width && image.height >= height) return image;
  const { channels } = image;
  const w = Math.max(width, image.width);
  const h = Math.max(height, image.height);
  const left = Math.floor((w - image.width) / 2);
  const top = Math.floor((h - image.height) / 2);
  const pixels = new Uint8Array(w * h * channels);
  const stride = image.width * channels;
  for (let y = 0; y < image.height; y++) {
    const row = image.pixels.subarray(y * stride, (y + 1) * stride);
    pixels.set(row, ((y + top) * w + left) * channels);
  }
  return { width: w, height: h, channels, pixels };
}

/** Rounds as Python does: halves go to the even neighbour. */
export function roundHalfEven(x: number): number {
  const rounded = Math.round(x);
  return rounded - x === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
