/**
 * Compares decoding, resampling and crops with Pillow's and torchvision's own results.
 *
 * A fixture is a file `image_preprocess.safetensors` with source images in `image_preprocess/`
 * beside it; names, sizes and boxes are read from it, so any fixture of that form will do.
 */

import { readSafetensors } from "../../src/safetensors.ts";
import {
  centerCrop,
  evaluationCrop,
  evaluationSize,
  fallbackCropBox,
  flip,
  normalise,
  randomCropSize,
} from "../../data/augment.ts";
import { decodeImage } from "../../data/decode.ts";
import { type Filter, type Image, resize } from "../../data/resize.ts";

/** One comparison; `ok` is `error <= bound`. */
export interface Check {
  readonly tensor: string;
  readonly error: number;
  readonly bound: number;
  readonly ok: boolean;
}

interface Source {
  readonly size_wh: readonly [width: number, height: number];
  readonly rrc_boxes: readonly { i: number; j: number; h: number; w: number; hflip: boolean }[];
  readonly resize_short_to: number;
}

interface Fixture {
  readonly dir: string;
  readonly tensors: ReturnType<typeof readSafetensors>["tensors"];
  readonly metadata: Record<string, string>;
  readonly images: Record<string, Source>;
}

/**
 * Checks every tensor and table of the fixture in `dir`.
 *
 * Resampling starts from the fixture's own decoded pixels and must be exact. JPEG and lossy WebP
 * may be decoded up to 4 levels apart, less than 1 on average; lossless formats not at all. A tensor
 * of a kind unknown here fails.
 *
 * @throws {Deno.errors.NotFound} If `dir` holds no fixture.
 * @throws {DataError} If one of its images is missing or cannot be decoded.
 */
export async function* checkImagePreprocess(dir: string): AsyncGenerator<Check> {
  const bytes = await Deno.readFile(`${dir}/image_preprocess.safetensors`);
  const { tensors, metadata } = readSafetensors(bytes);
  const fixture = { dir, tensors, metadata, images: JSON.parse(metadata.images ?? "{}") };
  for (const [name, { data, shape }] of tensors) {
    const [, file, kind] = name.match(/^(.*?)\.(rgb|out\..*)$/) ?? [];
    const expected = data as ArrayLike<number>;
    if (kind === "rgb") yield* checkDecoded(fixture, file, shape, expected);
    else yield check(name, file ? compute(fixture, file, kind.slice(4), shape) : [], expected);
  }
  yield* checkTables(fixture);
}

async function* checkDecoded(
  { dir }: Fixture,
  file: string,
  [height, width]: readonly number[],
  expected: ArrayLike<number>,
): AsyncGenerator<Check> {
  const path = `${dir}/image_preprocess/${file}`;
  const image = await decodeImage(path);
  const same = image.width === width && image.height === height;
  const pixels = same ? image.pixels : [];
  const lossy = isLossy(await Deno.readFile(path));
  yield check(`${file}.rgb`, pixels, expected, lossy ? 4 : 0);
  if (lossy) yield below(`${file}.rgb, mean`, meanDifference(pixels, expected), 1);
}

/** Recomputes tensor `<file>.out.<kind>` from `<file>.rgb`. */
function compute(
  fixture: Fixture,
  file: string,
  kind: string,
  shape: readonly number[],
): ArrayLike<number> {
  const image = decoded(fixture, file);
  const [height, width] = shape;
  let match;
  if (/^eval\d+$/.test(kind)) return evaluationCrop(image, width, height).pixels;
  if ((match = kind.match(/^rrc(\d+)$/))) {
    const { i, j, h, w, hflip } = fixture.images[file].rrc_boxes[Number(match[1])];
    const box = { x: j, y: i, width: w, height: h };
    const view = resize(image, width, height, "bicubic", box);
    return (hflip ? flip(view) : view).pixels;
  }
  if (kind === "centercrop_pad") return centerCrop(image, width, height).pixels;
  if ((match = kind.match(/^resize_(nearest|bilinear|bicubic|lanczos)_\d+x\d+$/))) {
    return resize(image, width, height, match[1] as Filter).pixels;
  }
  if ((match = kind.match(/^(.*)_norm_chw$/))) {
    const [channels, height, width] = shape;
    const mean = JSON.parse(fixture.metadata.mean);
    const std = JSON.parse(fixture.metadata.std);
    const pixels = compute(fixture, file, match[1], [height, width, channels]) as Image["pixels"];
    return toChannelsFirst(normalise({ width, height, channels, pixels }, mean, std), channels);
  }
  return []; // of a kind unknown here: the check fails
}

function* checkTables({ metadata, images }: Fixture): Generator<Check> {
  for (
    const [file, { size_wh: [width, height], resize_short_to: short }] of Object.entries(images)
  ) {
    const crop = Number(metadata.eval_size);
    const size = evaluationSize({ width, height }, crop, crop);
    yield check(`${file}.resize_short_to`, [Math.min(size.width, size.height)], [short]);
  }
  const sizes: number[][] = JSON.parse(metadata.rrc_param_table ?? "[]");
  for (const [row, [width, height, area, logRatio, ...expected]] of sizes.entries()) {
    const size = randomCropSize(width, height, { scale: [0.2, 1] }, area, logRatio);
    const result = [size.width, size.height, Number(size.accepted)];
    yield check(`rrc_param_table[${row}]`, result, expected);
  }
  const fallbacks: number[][] = JSON.parse(metadata.rrc_fallback ?? "[]");
  for (const [row, [width, height, ...expected]] of fallbacks.entries()) {
    const box = fallbackCropBox(width, height);
    yield check(`rrc_fallback[${row}]`, [box.y, box.x, box.height, box.width], expected);
  }
}

/** Maximum difference against a bound; float results, which are normalised pixels, get 1e-6. */
function check(
  tensor: string,
  result: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound = expected instanceof Float32Array ? 1e-6 : 0,
): Check {
  let error = result.length === expected.length ? 0 : Infinity;
  for (let i = 0; i < expected.length && error < Infinity; i++) {
    error = Math.max(error, Math.abs(result[i] - expected[i]));
  }
  return below(tensor, error, bound);
}

function below(tensor: string, error: number, bound: number): Check {
  return { tensor, error, bound, ok: error <= bound };
}

function meanDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += Math.abs(a[i] - b[i]);
  return sum / a.length;
}

function decoded({ tensors }: Fixture, file: string): Image {
  const tensor = tensors.get(`${file}.rgb`);
  if (tensor?.dtype !== "U8") throw new RangeError(`Cannot check ${file}: no tensor ${file}.rgb`);
  const [height, width, channels] = tensor.shape;
  return { width, height, channels, pixels: Uint8Array.from(tensor.data) };
}

/** JPEG, or WebP whose first chunk is not lossless. */
function isLossy(bytes: Uint8Array): boolean {
  const text = new TextDecoder("latin1").decode(bytes);
  return text.startsWith("\xff\xd8") ||
    text.startsWith("RIFF") && text.slice(8, 12) === "WEBP" && !text.includes("VP8L");
}

function toChannelsFirst(pixels: Float32Array, channels: number): Float32Array {
  const area = pixels.length / channels;
  return Float32Array.from(
    pixels,
    (_, i) => pixels[(i % area) * channels + Math.floor(i / area)],
  );
}
