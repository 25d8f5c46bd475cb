/** Images of squares with annotations in COCO's format. */
import sharp from "sharp";
import type { Image } from "../../../data/resize.ts";
import { write } from "../masks/pairs.ts";

/** A square: its corner, side and category, from 1. */
export interface Square {
  readonly x: number;
  readonly y: number;
  readonly side: number;
  readonly category: 1 | 2;
}

/** Colours of the categories, on grey. */
const COLOURS = { 1: [230, 30, 30], 2: [30, 30, 230] } as const;

/** Two squares at places that depend on a number. */
export function squaresOf(i: number, size = 64): Square[] {
  const side = 16 + 4 * (i % 3);
  return [
    { x: 2 + 5 * i % (size / 2 - side), y: 3 + 7 * i % (size - side - 4), side, category: 1 },
    { x: size / 2 + 3 * i % (size / 2 - side), y: 11 * i % (size - side), side, category: 2 },
  ];
}

/** Draws squares. */
export function drawSquares(squares: readonly Square[], width = 64, height = 64): Image {
  const pixels = new Uint8Array(3 * width * height).fill(120);
  for (const { x, y, side, category } of squares) {
    for (let row = y; row < y + side; row++) {
      for (let column = x; column < x + side; column++) {
        pixels.set(COLOURS[category], 3 * (row * width + column));
      }
    }
  }
  return { width, height, channels: 3, pixels };
}

/** Annotations of images by their file names, as objects to change. */
export function annotationsOf(images: Readonly<Record<string, readonly Square[]>>) {
  const names = Object.keys(images);
  const squares = names.flatMap((name, i) => images[name].map((square) => ({ i, ...square })));
  return {
    images: names.map((file_name, i) => ({ id: 10 + i, file_name, width: 64, height: 64 })),
    categories: [{ id: 2, name: "blue" }, { id: 1, name: "red" }],
    annotations: squares.map(({ i, x, y, side, category }, id) => ({
      ...{ id: id + 1, image_id: 10 + i, category_id: category, iscrowd: 0 },
      ...{ bbox: [x, y, side, side], area: side ** 2 },
      segmentation: [[x, y, x + side, y, x + side, y + side, x, y + side]] as unknown,
    })) as Record<string, unknown>[],
  };
}

/** Writes `images/0.png` … and `instances.json` into a folder. */
export async function writeSquares(folder: string, count: number, first = 0): Promise<void> {
  const images: Record<string, Square[]> = {};
  for (let i = 0; i < count; i++) {
    const squares = squaresOf(first + i);
    images[`${i}.png`] = squares;
    const { width, height, pixels } = drawSquares(squares);
    const png = await sharp(pixels, { raw: { width, height, channels: 3 } }).png().toBuffer();
    await write(folder, { [`images/${i}.png`]: png });
  }
  await write(folder, { "instances.json": JSON.stringify(annotationsOf(images)) });
}
