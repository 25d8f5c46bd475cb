/**
 * Clips side by side: in motion, or as a few of their frames.
 *
 * @module
 */
import sharp from "sharp";
import { writeAtomically } from "../../src/atomic_file.ts";
import { arrange, layOut } from "../picture.ts";
import type { VideoModel } from "./recipe.ts";

/** Shape of clips. */
export type ClipShape = Pick<VideoModel, "frames" | "imageSize">;

/** Frames a second. */
const RATE = 8;

/** Frames of a clip that stand for it where nothing moves. */
const STILLS = 4;

/** Kinds of files that move. */
export type AnimationFormat = "webp" | "gif";

/**
 * Draws clips in motion, without end: a row a clip, a column a list.
 *
 * Equal frames in a row may become one that lasts as long as they do.
 *
 * @param columns Colours `[N, T, H, W, 3]` each.
 */
export async function animate(
  columns: readonly Uint8Array[],
  shape: ClipShape,
  format: AnimationFormat = "webp",
): Promise<{ data: Uint8Array; width: number; height: number }> {
  const { frames, imageSize } = shape;
  const pages = Array.from(
    { length: frames },
    (_, t) => layOut(columns.map((clips) => framesAt(clips, t, shape)), imageSize),
  );
  const [{ width, height, pixels: { length } }] = pages;
  const pixels = new Uint8Array(frames * length);
  pages.forEach((page, t) => pixels.set(page.pixels, t * length));
  const raw = { width, height: frames * height, channels: 4, pageHeight: height } as const;
  const timing = { loop: 0, delay: Array<number>(frames).fill(1000 / RATE) };
  const drawn = sharp(pixels, { raw });
  const file = format === "gif" ? drawn.gif(timing) : drawn.webp({ ...timing, quality: 85 });
  return { data: await file.toBuffer(), width, height };
}

/** Writes an animation; the extension decides its format. */
export async function writeAnimation(
  path: string,
  columns: readonly Uint8Array[],
  shape: ClipShape,
): Promise<void> {
  const { data } = await animate(columns, shape, /\.gif$/i.test(path) ? "gif" : "webp");
  await writeAtomically(path, [data]);
}

/**
 * Arranges frames of clips, evenly over their time, as a PNG: a row a clip, column after column.
 *
 * @param columns Colours `[N, T, H, W, 3]` each.
 */
export async function arrangeStills(
  columns: readonly Uint8Array[],
  shape: ClipShape,
): Promise<{ png: Uint8Array; width: number; height: number }> {
  const times = stillsOf(shape.frames);
  const stills = columns.flatMap((clips) => times.map((t) => framesAt(clips, t, shape)));
  return await arrange(stills, { model: shape });
}

/** The first and the last frame, and others evenly between them. */
export function stillsOf(frames: number): number[] {
  const count = Math.min(STILLS, frames);
  return Array.from(
    { length: count },
    (_, i) => Math.round(i * (frames - 1) / Math.max(1, count - 1)),
  );
}

/** Frame t of every clip, `[N, H, W, 3]`. */
function framesAt(
  clips: Uint8Array,
  t: number,
  { frames, imageSize: [H, W] }: ClipShape,
): Uint8Array {
  const size = 3 * H * W;
  const found = new Uint8Array(clips.length / frames);
  for (let n = 0; n < found.length / size; n++) {
    const from = (n * frames + t) * size;
    found.set(clips.subarray(from, from + size), n * size);
  }
  return found;
}
