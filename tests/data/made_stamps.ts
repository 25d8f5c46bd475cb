/** Stamps as Tux Paint's, made on the fly. */
import sharp from "sharp";
import { dirname } from "node:path";

/** Colour and alpha of a pixel, 0 to 255 each. */
export type Paint = (x: number, y: number) => readonly [number, number, number, number];

export const STAMP = { width: 60, height: 48 };

/** Noise, opaque within an ellipse; beneath the transparent pixels there is black. */
export const photograph: Paint = (x, y) => {
  const { width, height } = STAMP;
  const inside = Math.hypot(2 * (x + 0.5) / width - 1, 2 * (y + 0.5) / height - 1) < 0.98;
  const noise = (x * 7919 + y * 104729) % 251;
  return inside ? [noise, (noise * 3) % 256, 255 - noise, 255] : [0, 0, 0, 0];
};

export async function writeStamp(
  path: string,
  paint: Paint = photograph,
  { width, height } = STAMP,
): Promise<void> {
  const samples = new Uint8Array(4 * width * height);
  for (let i = 0; i < width * height; i++) {
    samples.set(paint(i % width, Math.floor(i / width)), 4 * i);
  }
  await Deno.mkdir(dirname(path), { recursive: true });
  await sharp(samples, { raw: { width, height, channels: 4 } }).png().toFile(path);
}
