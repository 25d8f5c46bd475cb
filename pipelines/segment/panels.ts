/**
 * Panels of a segmentation run: the same few images, their masks, and what the model makes of them.
 *
 * @module
 */
import { loadMasksInOrder, type MaskPicture } from "../../data/masks/evaluation_loader.ts";
import type { MaskSource } from "../../data/masks/source.ts";
import { stepName } from "../checkpoints.ts";
import type { Panel } from "../fit.ts";
import { arrange } from "../picture.ts";
import { FILES } from "../run_folder.ts";
import { coloursOf, type Legend, overlay } from "./overlay.ts";
import type { Predictor } from "./predict.ts";
import { type Corner, resizeScores, type Sides } from "./slide.ts";

/** How pairs are read, without the source. */
export type MaskReader = Omit<Parameters<typeof loadMasksInOrder>[0], "source">;

/** Pairs spread evenly over a source; others in the place of bad ones. */
export async function spreadPairs(
  source: MaskSource,
  count: number,
  reader: MaskReader,
): Promise<MaskPicture[]> {
  const n = Math.min(count, source.length);
  const picked = Array.from({ length: n }, (_, i) => Math.floor((i + 0.5) * source.length / n));
  const order = new Set([...picked, ...source.images.keys()]);
  const sorted = (all: readonly string[]) => Array.from(order, (index) => all[index]);
  const pairs = { ...source, images: sorted(source.images), masks: sorted(source.masks) };
  const pictures: MaskPicture[] = [];
  for await (const picture of loadMasksInOrder({ ...reader, source: pairs })) {
    pictures.push(picture);
    if (pictures.length === n) break;
  }
  return pictures;
}

/** Three pictures of a pair, RGB `[H, W, 3]` each, at the size of its mask. */
export interface Drawing {
  readonly size: Sides;
  readonly original: Uint8Array;
  readonly truth: Uint8Array;
  readonly prediction: Uint8Array;
}

/** How pixels were normalised. */
type Normalisation = { readonly mean: readonly number[]; readonly std: readonly number[] };

/** Draws a pair and what was predicted, `[labelHeight, labelWidth]`. */
export function drawingOf(
  { image, width, height, labels, labelWidth, labelHeight }: MaskPicture,
  predicted: ArrayLike<number>,
  normalisation: Normalisation,
  legend: Legend,
): Drawing {
  const size: Sides = [labelHeight, labelWidth];
  const pixels = resizeScores({ width, height, scores: image }, size).scores;
  const original = coloursOf(pixels, normalisation);
  return {
    ...{ original, size },
    truth: overlay(original, labels, legend),
    prediction: overlay(original, predicted, legend),
  };
}

/** Draws the panels of a run, as its parameters change. */
export interface SegmentPanels {
  /** Keeps the step's column, and a picture of all three; returns the picture. */
  draw(step: number): Promise<Panel>;
}

/**
 * Prepares to draw panels.
 *
 * @param side Height and width of what is shown of each image, its middle.
 */
export function segmentPanels(
  predictor: Predictor,
  pictures: readonly MaskPicture[],
  normalisation: Normalisation,
  legend: Legend,
  side: Sides,
  folder: string,
): SegmentPanels {
  let isFirst = true;
  return {
    async draw(step) {
      const columns: Record<"original" | "truth" | "prediction", Uint8Array[]> = {
        ...{ original: [], truth: [], prediction: [] },
      };
      for (const picture of pictures) {
        const { labelWidth, labelHeight } = picture;
        const predicted = await predictor.predict(picture, [labelHeight, labelWidth]);
        const { size, ...drawn } = drawingOf(picture, predicted, normalisation, legend);
        for (const name of ["original", "truth", "prediction"] as const) {
          columns[name].push(middleOf(drawn[name], size, side));
        }
      }
      const settings = { model: { imageSize: side } };
      const joined = (parts: readonly Uint8Array[]) => {
        const all = new Uint8Array(parts.length * 3 * side[0] * side[1]);
        parts.forEach((part, i) => all.set(part, i * 3 * side[0] * side[1]));
        return all;
      };
      const { original, truth, prediction } = columns;
      const named = { ...(isFirst && { original, truth }), [stepName(step)]: prediction };
      isFirst = false;
      await Deno.mkdir(`${folder}/${FILES.panels}`, { recursive: true });
      for (const [name, column] of Object.entries(named)) {
        const { png } = await arrange([joined(column)], settings);
        await Deno.writeFile(`${folder}/${FILES.panels}/${name}.png`, png);
      }
      const picture = await arrange([original, truth, prediction].map(joined), settings);
      await Deno.writeFile(`${folder}/${FILES.overlays}`, picture.png);
      return picture;
    },
  };
}

/** The middle of a picture `[H, W, 3]`, among white where it is smaller. */
function middleOf(colours: Uint8Array, size: Sides, [height, width]: Sides): Uint8Array {
  const corner = (axis: 0 | 1) => Math.round((size[axis] - [height, width][axis]) / 2);
  const [top, left]: Corner = [corner(0), corner(1)];
  const result = new Uint8Array(3 * height * width).fill(255);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const [y, x] = [row + top, column + left];
      if (y < 0 || y >= size[0] || x < 0 || x >= size[1]) continue;
      const from = 3 * (y * size[1] + x);
      result.set(colours.subarray(from, from + 3), 3 * (row * width + column));
    }
  }
  return result;
}
