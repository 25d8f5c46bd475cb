/**
 * Pictures of things: their masks, boxes and names over the image.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import sharp from "sharp";
import { html } from "../report/html.ts";

/** What is drawn of a thing. */
export interface DrawnThing {
  /** Left, top, right and bottom edge, in pixels. */
  readonly box: readonly [number, number, number, number];
  readonly category: number;
  readonly mask: Uint8Array;
  /** Of what was found. */
  readonly score?: number;
}

const SHARE = 0.45; // of a thing's colour in its mask

/** Bright RGB, far from those of the things before it. */
function colourOf(thing: number): number[] {
  const hue = 0.55 + thing * (Math.sqrt(5) - 1) / 2; // in turns; steps of the golden section
  return [0, 1 / 3, 2 / 3].map((shift) => {
    const distance = Math.abs(((hue - shift) % 1 + 1.5) % 1 - 0.5); // from where it is brightest
    return Math.round(255 * Math.min(1, Math.max(0.1, 2 - 6 * distance)));
  });
}

/** Lays masks over an image. @param colours RGB `[H, W, 3]`. */
export function withMasks(
  colours: Uint8Array,
  things: readonly DrawnThing[],
): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(colours);
  for (const [i, { mask }] of [...things.entries()].toReversed()) { // the best one on top
    const colour = colourOf(i);
    for (let pixel = 0; pixel < mask.length; pixel++) {
      if (mask[pixel] === 0) continue;
      for (let rgb = 0; rgb < 3; rgb++) {
        const at = 3 * pixel + rgb;
        result[at] = Math.round((1 - SHARE) * colours[at] + SHARE * colour[rgb]);
      }
    }
  }
  return result;
}

/**
 * Draws things on an image, enlarged to `width` where it is smaller.
 *
 * @param colours RGB `[H, W, 3]`.
 * @returns A PNG.
 */
export async function drawThings(
  colours: Uint8Array,
  [height, width]: readonly [number, number],
  things: readonly DrawnThing[],
  names: readonly string[],
  least = 480,
): Promise<Uint8Array> {
  const scale = Math.max(1, least / width);
  const [W, H] = [width, height].map((side) => Math.round(side * scale));
  const line = Math.max(1.5, W / 320);
  const font = Math.max(11, W / 40);
  const shapes = things.map(({ box, category, score }, i) => {
    const [x0, y0, x1, y1] = box.map((value) => value * scale);
    const colour = `rgb(${colourOf(i).join(",")})`;
    const share = score === undefined ? "" : ` ${Math.round(100 * score)} %`;
    const { text: label } = html`${names[category] ?? String(category)}${share}`;
    const y = Math.max(font, y0 - line);
    return `<rect x="${x0}" y="${y0}" width="${x1 - x0}" height="${y1 - y0}" fill="none" ` +
      `stroke="${colour}" stroke-width="${line}"/>` +
      `<text x="${x0 + line}" y="${y}" font-family="sans-serif" font-size="${font}" fill="#fff" ` +
      `stroke="#000" stroke-width="${font / 5}" paint-order="stroke">${label}</text>`;
  });
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${W}" height="${H}">${
    shapes.join("")
  }</svg>`;
  return await sharp(withMasks(colours, things), { raw: { width, height, channels: 3 } })
    .resize(W, H, { fit: "fill", kernel: "cubic" })
    .composite([{ input: Buffer.from(svg) }])
    .png().toBuffer();
}
