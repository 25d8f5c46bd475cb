/**
 * Photographs of things, cut out: stamps of Tux Paint, whose alpha is the thing's mask. They are
 * under the GPL-2 and no part of this project: a package brings them.
 *
 * @module
 */
import sharp from "sharp";
import { DataError, holdsImages, imageFolder } from "../dataset.ts";
import { readFile, reasonOf } from "../files.ts";
import { crop, type Image } from "../resize.ts";
import { STAMPS_FOLDER } from "./folder.ts";

/** Folders that hold photographs of things; others have drawings, signs, coins, planets, flames. */
export const CATEGORIES = [
  ...["animals", "food", "hobbies", "household", "plants", "sports", "vehicles"] as const,
] as const;

/** A stamp that is a photograph. */
export interface StampFile {
  readonly file: string;
  /** Path below the stamps' folder. */
  readonly name: string;
  /** First folder of `name`. */
  readonly category: string;
}

/** A thing without its surroundings. */
export interface Cutout {
  readonly name: string;
  /** RGBA `[H, W, 4]`, colours times alpha, with no rows or columns that are empty at its edges. */
  readonly image: Image;
}

/** What tells a photograph of a thing from other pictures; levels of alpha are from 0 to 255. */
const PHOTOGRAPH = {
  /** Least number of pixels that are at least half opaque, and their share of all. */
  pixels: 1500,
  share: [0.05, 0.95],
  /** Most of the pixels are next to empty or next to solid: no flame, no glass, no lace of twigs. */
  decided: { share: 0.8, empty: 16, solid: 240 },
  /** Least number of colours, of 32 levels a channel. */
  colours: 32,
  /** Drawings have areas of one colour: pixels that equal the one on their right. */
  flat: 0.5,
} as const;

/**
 * Lists the stamps that are photographs of things, by folder and by what their pixels tell.
 *
 * Of a stamp and its mirror image, only the former counts.
 *
 * @returns In code-unit order of their names.
 * @throws {DataError} If the folder is missing or holds none, or a stamp is damaged.
 */
export async function findStamps(folder = STAMPS_FOLDER): Promise<StampFile[]> {
  const root = folder.replace(/(?<=.)\/+$/, "");
  await Deno.stat(root).catch((cause) => {
    const reason = cause instanceof Deno.errors.NotFound ? "no such folder" : reasonOf(cause);
    throw new DataError(`Cannot read stamps in ${folder}: ${reason}; ${ADVICE}`, { cause });
  });
  const { files } = await holdsImages(root) ? await imageFolder(root) : { files: [] };
  const stamps: StampFile[] = [];
  for (const file of files) {
    const name = file.slice(root.length + 1);
    const [category] = name.split("/", 1);
    if (!(CATEGORIES as readonly string[]).includes(category)) continue;
    if (/\/cartoon\/|_mirror\.png$|(?<!\.png)$/.test(name)) continue;
    if (isPhotograph(await decodeStamp(file))) stamps.push({ file, name, category });
  }
  if (stamps.length > 0) return stamps;
  throw new DataError(`Cannot use stamps in ${folder}: none is a photograph of a thing; ${ADVICE}`);
}

const ADVICE = "run deno task setup:stamps";

/**
 * Cuts out a thing.
 *
 * @throws {DataError} If the file cannot be read, is damaged, or all of it is transparent.
 */
export async function readCutout({ file, name }: StampFile): Promise<Cutout> {
  const image = await decodeStamp(file);
  const { width, height, pixels } = image;
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let i = 0; i < width * height; i++) {
    const alpha = pixels[4 * i + 3];
    for (let c = 0; c < 3; c++) pixels[4 * i + c] = Math.round(pixels[4 * i + c] * alpha / 255);
    if (alpha < PHOTOGRAPH.decided.empty) continue;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, right] = [Math.min(left, x), Math.max(right, x)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
  }
  if (right < 0) throw new DataError(`Cannot use ${file}: all of it is transparent`);
  const box = { x: left, y: top, width: right - left + 1, height: bottom - top + 1 };
  return { name, image: crop(image, box) };
}

/** RGBA `[H, W, 4]` of a PNG, whatever kind it is. */
async function decodeStamp(file: string): Promise<Image> {
  const bytes = await readFile(file);
  try {
    const { data, info } = await sharp(bytes, { ignoreIcc: true }).toColourspace("srgb")
      .ensureAlpha().raw().toBuffer({ resolveWithObject: true });
    const pixels = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.length);
    return { width: info.width, height: info.height, channels: 4, pixels };
  } catch (cause) {
    throw new DataError(`Cannot decode ${file}: it is no image, or damaged`, { cause });
  }
}

function isPhotograph({ width, height, pixels }: Image): boolean {
  const { empty, solid } = PHOTOGRAPH.decided;
  const length = width * height;
  const colours = new Set<number>();
  let [opaque, decided, pairs, equal] = [0, 0, 0, 0];
  for (let i = 0; i < length; i++) {
    const [red, green, blue, alpha] = pixels.subarray(4 * i, 4 * i + 4);
    if (alpha < empty || alpha >= solid) decided++;
    if (alpha < 128) continue;
    opaque++;
    colours.add((red >> 3) << 10 | (green >> 3) << 5 | blue >> 3);
    if (i % width === width - 1 || pixels[4 * i + 7] < 128) continue;
    pairs++;
    if (red === pixels[4 * i + 4] && green === pixels[4 * i + 5] && blue === pixels[4 * i + 6]) {
      equal++;
    }
  }
  const [least, most] = PHOTOGRAPH.share;
  return opaque >= PHOTOGRAPH.pixels && opaque >= least * length && opaque <= most * length &&
    decided >= PHOTOGRAPH.decided.share * length && colours.size >= PHOTOGRAPH.colours &&
    equal < PHOTOGRAPH.flat * pairs;
}
