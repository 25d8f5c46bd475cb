import sharp, { type SharpOptions } from "sharp";
import { DataError } from "./dataset.ts";
import { luma } from "./enhance.ts";
import { readFile } from "./files.ts";
import { isNpy, parseNpy } from "./npy.ts";
import type { Image } from "./resize.ts";

// One thread and no cache: the loader runs one decoder a worker, and reads every file once.
sharp.concurrency(1);
sharp.cache(false);

// What libvips also reads, such as SVG or PDF, is no photograph.
const FORMATS = new Set(["jpeg", "png", "webp", "gif", "tiff", "heif"]);

/** How to read a file. libvips calls a TIFF's missing pixels an error, not a truncation. */
function optionsFor(bytes: Uint8Array): SharpOptions {
  const [first, second] = bytes;
  const isTiff = first === second && (first === 0x49 || first === 0x4d);
  return { failOn: isTiff ? "error" : "truncated", ignoreIcc: true, limitInputChannels: 0 };
}

/**
 * Decodes a JPEG, PNG, WebP, GIF, TIFF or AVIF file as Pillow's `Image.open(path).convert("RGB")`
 * does, or `convert("L")` for one channel; or a .npy array.
 *
 * The orientation of EXIF and colour profiles are ignored, alpha is dropped, palettes and grey are
 * expanded, CMYK is converted by Pillow's formula, 16-bit samples keep their high byte, and an
 * animation gives its first frame. Pillow differs in two cases: it clips 16-bit grey to white, and
 * shows the colour beneath a GIF's transparent pixels, which are black here.
 *
 * For any other number of channels the file's bands are taken as they are. The pages of a TIFF, if
 * each has one band, are the channels where there are as many of both, 3 included; else its first
 * page is the image.
 *
 * @returns Image `[H, W, channels]`.
 * @throws {DataError} If the file cannot be read, is no image, is truncated, or has other bands.
 */
export async function decodeImage(path: string, channels = 3): Promise<Image> {
  return await decodeBytes(await readFile(path), path, channels);
}

/** An image from a file. */
export interface Decoded extends Image {
  /** Number of a TIFF's pages, where they are the channels. */
  readonly pages?: number;
}

/**
 * Decodes the bytes of a file as {@linkcode decodeImage} does.
 *
 * @param name What errors call the file.
 * @param channels The file's own bands or pages, unconverted, if left out.
 * @throws {DataError} As {@linkcode decodeImage}.
 */
export async function decodeBytes(
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
  channels?: number,
): Promise<Decoded> {
  if (bytes.length === 0) throw new DataError(`Cannot decode ${name}: the file is empty`);
  if (isNpy(bytes)) return withChannels(parseNpy(bytes, name), name, channels);
  const input = sharp(bytes, optionsFor(bytes));
  const metadata = await input.metadata().catch((error) => {
    throw isUnknown(error) ? notAnImage(name) : damaged(name, error);
  });
  const { format, space, depth, channels: bands } = metadata;
  if (!FORMATS.has(format)) throw notAnImage(name);
  const pages = format === "tiff" && bands === 1 ? metadata.pages ?? 1 : 1;
  if (pages > 1 && (channels ?? pages) === pages) {
    return await stackPages(bytes, name, pages, depth);
  }
  const inks = space === "cmyk";
  const grey = space === "b-w" || space === "grey16";
  // A photo is what Pillow has a mode for: grey, colours or inks, perhaps with alpha.
  const isPhoto = inks || bands <= (grey ? 2 : 4);
  const converts = (channels === 1 || channels === 3) && isPhoto;
  if (!converts && pages > 1) {
    throw new DataError(
      `Cannot use ${name}: it has ${pages} pages of 1 band, not ${channels} bands`,
    );
  }
  if (!converts) checkDepth(depth, name);
  if (inks) input.pipelineColourspace("cmyk").toColourspace("cmyk"); // no profile, just the inks
  else if (converts) input.removeAlpha().toColourspace("srgb");
  const { data, info } = await input.raw().toBuffer({ resolveWithObject: true }).catch((error) => {
    throw damaged(name, error);
  });
  const { width, height } = info;
  const buffer = data.buffer as ArrayBuffer; // sharp never shares it
  const samples = new Uint8Array(buffer, data.byteOffset, data.length);
  if (converts) {
    const rgb = { width, height, channels: 3, pixels: inks ? inksToColours(samples) : samples };
    return withChannels(rgb, name, channels);
  }
  const pixels = grey ? onceGrey(samples, info.channels, bands) : samples;
  return withChannels({ width, height, channels: bands, pixels }, name, channels);
}

/** Makes the pages of a TIFF, of one band each, the channels of an image. */
async function stackPages(
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
  pages: number,
  depth: string,
): Promise<Decoded> {
  checkDepth(depth, name);
  // libvips gives the pages one below the other.
  const { data, info } = await sharp(bytes, { ...optionsFor(bytes), pages: -1 }).raw()
    .toBuffer({ resolveWithObject: true }).catch(async (error) => {
      throw await pagesDiffer(bytes, pages)
        ? new DataError(`Cannot use ${name}: its ${pages} pages differ in size, bands or bits`)
        : damaged(name, error);
    });
  const { width, channels: stride } = info; // sharp may repeat grey
  const height = info.height / pages;
  const pixels = new Uint8Array(width * height * pages);
  for (let page = 0, from = 0; page < pages; page++) {
    for (let to = page; to < pixels.length; to += pages, from += stride) pixels[to] = data[from];
  }
  return { width, height, channels: pages, pixels, pages };
}

async function pagesDiffer(bytes: Uint8Array<ArrayBuffer>, pages: number): Promise<boolean> {
  const kinds = new Set<string>();
  for (let page = 0; page < pages; page++) {
    const found = await sharp(bytes, { ...optionsFor(bytes), page }).metadata().catch(() =>
      undefined
    );
    if (!found) return false;
    kinds.add(`${found.width} × ${found.height} × ${found.channels} ${found.depth}`);
  }
  return kinds.size > 1;
}

function checkDepth(depth: string, name: string): void {
  if (depth === "uchar" || depth === "ushort") return;
  throw new DataError(`Cannot decode ${name}: its samples are ${depth}, not of 8 or 16 bits`);
}

/** Repeats grey or takes the luma where one and three channels meet; other bands must agree. */
export function withChannels(image: Image, name: string, channels = image.channels): Image {
  const { channels: found, pixels } = image;
  if (found === channels) return image;
  if (found === 3 && channels === 1) return { ...image, channels, pixels: luma(pixels) };
  if (found === 1 && channels === 3) {
    const repeated = new Uint8Array(3 * pixels.length);
    for (let i = 0, to = 0; i < pixels.length; i++) { // `from` would take most of the loader's time
      repeated[to++] = repeated[to++] = repeated[to++] = pixels[i];
    }
    return { ...image, channels, pixels: repeated };
  }
  throw new DataError(`Cannot use ${name}: it has ${found} bands, not ${channels}`);
}

function isUnknown(error: Error): boolean {
  return error.message.includes("unsupported image format");
}

function notAnImage(name: string): DataError {
  return new DataError(
    `Cannot decode ${name}: it is not a JPEG, PNG, WebP, GIF, TIFF, AVIF or .npy image`,
  );
}

// libvips keeps one message for all threads, so with several workers its reason may be another
// file's: it stays in the cause.
function damaged(name: string, cause: Error): DataError {
  return new DataError(`Cannot decode ${name}: it is truncated or damaged`, { cause });
}

/** CMYK to RGB as Pillow's cmyk2rgb: black scales what each ink leaves of white. */
function inksToColours(inks: Uint8Array): Uint8Array<ArrayBuffer> {
  const colours = new Uint8Array(inks.length / 4 * 3);
  for (let i = 0, out = 0; i < inks.length; i += 4) {
    const light = 255 - inks[i + 3];
    for (let c = 0; c < 3; c++) {
      const product = inks[i + c] * light + 128;
      colours[out++] = light - ((product + (product >> 8)) >> 8); // product / 255, rounded
    }
  }
  return colours;
}

/** Undoes what sharp makes of grey: three equal channels in its place, before the other bands. */
function onceGrey(
  samples: Uint8Array<ArrayBuffer>,
  stride: number,
  bands: number,
): Uint8Array<ArrayBuffer> {
  if (stride === bands) return samples;
  const pixels = new Uint8Array(samples.length / stride * bands);
  for (let from = 0, to = 0; to < pixels.length; from += stride, to += bands) {
    pixels[to] = samples[from];
    for (let band = 1; band < bands; band++) pixels[to + band] = samples[from + band + 2];
  }
  return pixels;
}
