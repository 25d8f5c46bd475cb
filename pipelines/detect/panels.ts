/**
 * Panels of a detection run: the same few images, what is annotated, and what the model finds.
 *
 * @module
 */
import sharp from "sharp";
import { bitmapOf, boxOf } from "../../data/coco/run_lengths.ts";
import { runsOf } from "../../data/coco/run_string.ts";
import { compress } from "../../data/coco/segmentation.ts";
import { loadThingsInOrder, type ThingPicture } from "../../data/things/evaluation_loader.ts";
import type { ThingEvaluationOptions } from "../../data/things/evaluation_loader.ts";
import { pick, type ThingSource } from "../../data/things/source.ts";
import { stepName } from "../checkpoints.ts";
import type { Panel } from "../fit.ts";
import { FILES } from "../run_folder.ts";
import { coloursOf } from "../segment/overlay.ts";
import { resizeScores } from "../segment/slide.ts";
import { type DrawnThing, drawThings } from "./drawing.ts";
import type { Detector } from "./predict.ts";

/** Scores from where on a thing is drawn. */
export const SHOWN_SCORE = 0.5;

/** Colours RGB `[H, W, 3]` of a picture, at the size of its file. */
export function coloursIn(
  { image, filled: [h, w], original: [height, width] }: ThingPicture,
  { mean, std, canvas }: {
    readonly mean: readonly number[];
    readonly std: readonly number[];
    readonly canvas: { readonly width: number };
  },
): Uint8Array<ArrayBuffer> {
  const C = mean.length;
  const part = new Float32Array(h * w * C);
  for (let y = 0; y < h; y++) {
    const from = y * canvas.width * C;
    part.set(image.subarray(from, from + w * C), y * w * C);
  }
  const { scores } = resizeScores({ width: w, height: h, scores: part }, [height, width]);
  return coloursOf(scores, { mean, std });
}

/** What is annotated in image `index` of a source, to be drawn. */
export function annotatedThings(
  { things, sizes }: ThingSource,
  index: number,
): DrawnThing[] {
  const [height, width] = sizes[index];
  return things[index].map(({ category, segmentation }) => {
    const { string } = compress(segmentation, [height, width]);
    const counts = [...runsOf(string)];
    const [x, y, w, h] = boxOf(counts, height);
    const mask = bitmapOf({ counts, size: [height, width] });
    return { category, mask, box: [x, y, x + w, y + h] };
  });
}

/** Draws the panels of a run, as its parameters change. */
export interface DetectPanels {
  /** Keeps a picture of all; returns it. */
  draw(step: number): Promise<Panel>;
}

/**
 * Prepares to draw images spread evenly over a source.
 *
 * @param reader How they are read.
 */
export async function detectPanels(
  detector: Detector,
  source: ThingSource,
  reader: Omit<ThingEvaluationOptions, "source">,
  count: number,
  names: readonly string[],
  folder: string,
): Promise<DetectPanels> {
  const n = Math.min(count, source.length);
  const picked = Array.from({ length: n }, (_, i) => Math.floor((i + 0.5) * source.length / n));
  const few = pick(source, picked);
  const pictures: { picture: ThingPicture; colours: Uint8Array; truth: Uint8Array }[] = [];
  const { mean, std, scale: { canvas } } = reader;
  for await (const picture of loadThingsInOrder({ ...reader, source: few })) {
    const colours = coloursIn(picture, { mean, std, canvas });
    const annotated = annotatedThings(few, picture.index);
    const truth = await drawThings(colours, picture.original, annotated, names, SIDE);
    pictures.push({ picture, colours, truth });
  }
  const truths = pictures.map(({ truth }) => truth);
  let isFirst = true;
  return {
    async draw(step) {
      const drawn: Uint8Array[] = [];
      for (const { picture, colours } of pictures) {
        const found = (await detector.detect(picture)).filter(({ score }) => score >= SHOWN_SCORE);
        drawn.push(await drawThings(colours, picture.original, found, names, SIDE));
      }
      await Deno.mkdir(`${folder}/${FILES.panels}`, { recursive: true });
      const columns = { ...(isFirst && { truth: truths }), [stepName(step)]: drawn };
      isFirst = false;
      for (const [name, column] of Object.entries(columns)) {
        const { png } = await sideBySide([column]);
        await Deno.writeFile(`${folder}/${FILES.panels}/${name}.png`, png);
      }
      const panel = await sideBySide([truths, drawn]);
      await Deno.writeFile(`${folder}/${FILES.overlays}`, panel.png);
      return panel;
    },
  };
}

/** Pixels along a side of a picture in a panel. */
const SIDE = 256;
const GAP = 8;

/** Lays columns of pictures out as a PNG, each made to fit a square. */
async function sideBySide(columns: readonly (readonly Uint8Array[])[]): Promise<Panel> {
  const width = columns.length * (SIDE + GAP) + GAP;
  const height = columns[0].length * (SIDE + GAP) + GAP;
  const composed = await Promise.all(columns.flatMap((column, x) =>
    column.map(async (png, y) => ({
      input: await sharp(png).resize(SIDE, SIDE, { fit: "inside" }).toBuffer(),
      ...{ left: GAP + x * (SIDE + GAP), top: GAP + y * (SIDE + GAP) },
    }))
  ));
  const background = { r: 0, g: 0, b: 0, alpha: 0 };
  const png = await sharp({ create: { width, height, channels: 4, background } })
    .composite(composed).png().toBuffer();
  return { png, width, height };
}
