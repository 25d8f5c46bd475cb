import sharp from "sharp";
import { DataError } from "./dataset.ts";
import type { Image } from "./resize.ts";

// One thread and no cache: the loader runs one decoder a worker, and reads every file once.
sharp.concurrency(1);
sharp.cache(false);

// What libvips also reads, such as SVG or PDF, is no photograph.
const FORMATS = new Set(["jpeg", "png", "webp", "gif", "tiff", "heif"]);

/**
 * Decodes a JPEG, PNG, WebP, GIF, TIFF or AVIF file as Pillow's `Image.open(path).convert("RGB")`
 * does, or `convert("L")` for one channel.
 *
 * The orientation of EXIF and colour profiles are ignored, alpha is dropped, palettes and grey are
 * expanded, CMYK is converted by Pillow's formula, 16-bit samples keep their high byte, and an
 * animation gives its first frame. Pillow differs in two cases: it clips 16-bit grey to white, and
 * shows the colour beneath a GIF's transparent pixels, which are black here.
 *
 * @returns Image `[H, W, channels]`.
 * @throws {DataError} If the file cannot be read, is no image or is truncated.
 */
export async function decodeImage(path: string, channels: 1 | 3 = 3): Promise<Image> {
  const bytes = await readFile(path);
  if (bytes.length === 0) throw new DataError(`Cannot decode ${path}: the file is empty`);
  const input = sharp(bytes, { failOn: "truncated", ignoreIcc: true });
  const { format, space } = await input.metadata().catch((error) => {
    throw isUnknown(error) ? notAnImage(path) : damaged(path, error);
  });
  if (!FORMATS.has(format)) throw notAnImage(path);
  const inks = space === "cmyk";
  if (inks) input.pipelineColourspace("cmyk").toColourspace("cmyk"); // no profile, just the inks
  else input.removeAlpha().toColourspace("srgb");
  const { data, info: { width, height } } = await input.raw()
    .toBuffer({ resolveWithObject: true }).catch((error) => {
      throw damaged(path, error);
    });
  const buffer = data.buffer as ArrayBuffer; // sharp never shares it
  const samples = new Uint8Array(buffer, data.byteOffset, data.length);
  const pixels = inks ? inksToColours(samples) : samples;
  return { width, height, channels, pixels: channels === 1 ? luma(pixels) : pixels };
}

/**
 * Reads a whole file.
 *
 * @throws {DataError} If it cannot be read; the message names it.
 */
export async function readFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(path);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound
      ? "no such file"
      : (cause as Error).message;
    throw new DataError(`Cannot read ${path}: ${reason}`, { cause });
  }
}

function isUnknown(error: Error): boolean {
  return error.message.includes("unsupported image format");
}

function notAnImage(path: string): DataError {
  return new DataError(
    `Cannot decode ${path}: it is not a JPEG, PNG, WebP, GIF, TIFF or AVIF image`,
  );
}

// libvips keeps one message for all threads, so with several workers its reason may be another
// file's: it stays in the cause.
function damaged(path: string, cause: Error): DataError {
  return new DataError(`Cannot decode ${path}: it is truncated or damaged`, { cause });
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

/** Luma of ITU-R BT.601 in Pillow's fixed point. */
function luma(rgb: Uint8Array): Uint8Array<ArrayBuffer> {
  const grey = new Uint8Array(rgb.length / 3);
  for (let i = 0, p = 0; i < grey.length; i++, p += 3) {
    grey[i] = (19595 * rgb[p] + 38470 * rgb[p + 1] + 7471 * rgb[p + 2] + 0x8000) >> 16;
  }
  return grey;
}
