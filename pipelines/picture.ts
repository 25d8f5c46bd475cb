/**
 * Pictures side by side: a row an image, a column a list of them.
 *
 * @module
 */
import sharp from "sharp";
import type { Recipe } from "./recipe.ts";

/** What is to be drawn: red, green, blue and opacity, `[height, width, 4]`. */
export interface Canvas {
  readonly pixels: Uint8Array<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
}

/** Pixels of width that small images are enlarged to, at most. */
const WIDTH = 224;

/**
 * Lays pictures out with transparent gaps; small ones are drawn larger, each pixel as a square.
 *
 * @param columns Colours `[N, H, W, 3]` each.
 */
export function layOut(
  columns: readonly Uint8Array[],
  [H, W]: readonly [number, number],
): Canvas {
  const count = columns[0].length / (3 * H * W);
  const scale = Math.max(1, Math.floor(WIDTH / W));
  const gap = scale * Math.max(2, Math.round(W / 32));
  const width = columns.length * (scale * W + gap) + gap;
  const height = count * (scale * H + gap) + gap;
  const pixels = new Uint8Array(width * height * 4);
  columns.forEach((colours, column) => {
    for (let row = 0; row < count * scale * H; row++) {
      const y = gap + row + Math.floor(row / (scale * H)) * gap;
      const from = 3 * W * Math.floor(row / scale);
      let to = 4 * (y * width + gap + column * (scale * W + gap));
      for (let x = 0; x < scale * W; x++) {
        const at = from + 3 * Math.floor(x / scale);
        for (let rgb = 0; rgb < 3; rgb++) pixels[to++] = colours[at + rgb];
        pixels[to++] = 255;
      }
    }
  });
  return { pixels, width, height };
}

/**
 * Arranges pictures as a PNG, see {@linkcode layOut}.
 *
 * @param columns Colours `[N, H, W, 3]` each.
 */
export async function arrange(
  columns: readonly Uint8Array[],
  { model: { imageSize } }: { model: Pick<Recipe["model"], "imageSize"> },
): Promise<{ png: Uint8Array; width: number; height: number }> {
  const { pixels, width, height } = layOut(columns, imageSize);
  const png = await sharp(pixels, { raw: { width, height, channels: 4 } }).png().toBuffer();
  return { png, width, height };
}
