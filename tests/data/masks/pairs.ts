import { dirname } from "node:path";
import sharp, { type PngOptions } from "sharp";
import type { MaskSource } from "../../../data/masks/source.ts";
import { encodePng } from "../png.ts";

/** Writes files with their folders: texts, bytes, or nothing, where only the name counts. */
export async function write(
  root: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await Deno.mkdir(dirname(`${root}/${name}`), { recursive: true });
    if (typeof content === "string") await Deno.writeTextFile(`${root}/${name}`, content);
    else await Deno.writeFile(`${root}/${name}`, content);
  }
}

/** A grey PNG of 8 bits, or 16 where a label needs them. */
export function greyPng(width: number, height: number, labels: readonly number[]): Uint8Array {
  const wide = labels.some((label) => label > 255);
  const samples = wide ? labels.flatMap((label) => [label >> 8, label & 255]) : [...labels];
  return encodePng({ width, height, type: 0, bits: wide ? 16 : 8, samples });
}

/** A PNG of raw samples that sharp writes. */
export async function sharpPng(
  width: number,
  height: number,
  channels: 1 | 2 | 3 | 4,
  options: PngOptions = {},
  value: (i: number) => number = (i) => i % 256,
): Promise<Uint8Array> {
  const pixels = Uint8Array.from({ length: width * height * channels }, (_, i) => value(i));
  const image = sharp(pixels, { raw: { width, height, channels } });
  if (channels < 3) image.toColourspace("b-w");
  return await image.png(options).toBuffer();
}

/** Red that encodes a class in the images of {@linkcode writePairs}. */
export const STEP = 20;

/** Classes of `patch` × `patch` pixels each, in an order that depends on `seed`. */
export function patches(
  width: number,
  height: number,
  { classes, patch, seed }: { classes: number; patch: number; seed: number },
): number[] {
  return Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)].map((at) => Math.floor(at / patch));
    return (5 * x + 3 * y + x * y + seed) % classes;
  });
}

/** Writes pairs `images/NAME.png`, `masks/NAME.png` whose images have `STEP` times the class as red. */
export async function writePairs(
  root: string,
  names: readonly string[],
  { width = 60, height = 44, classes = 4, patch = 12 } = {},
): Promise<MaskSource> {
  for (const [i, name] of names.entries()) {
    const labels = patches(width, height, { classes, patch, seed: i });
    const samples = labels.flatMap((label) => [STEP * label, i, 255 - i]);
    await write(root, {
      [`images/${name}.png`]: encodePng({ width, height, type: 2, samples }),
      [`masks/${name}.png`]: greyPng(width, height, labels),
    });
  }
  return {
    kind: "masks",
    length: names.length,
    images: names.map((name) => `${root}/images/${name}.png`),
    masks: names.map((name) => `${root}/masks/${name}.png`),
    root,
  };
}
