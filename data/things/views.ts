/** Views of images with the things in them: pure functions that move both alike. */

import { resizeShortestEdge } from "../../src/detection/resize_shortest_edge.ts";
import { type Key, split, uniform } from "../../src/random.ts";
import { flip, roundHalfEven, type Size } from "../augment.ts";
import { crop, type Image, resize } from "../resize.ts";

/** How large images are made. */
export interface ThingScale {
  /** Sides of a view, in pixels; what an image does not fill is empty, at the right and the bottom. */
  readonly canvas: Size;
  /**
   * Large-scale jitter (arXiv:2012.07177): factors on the size that fits the canvas. What is larger is
   * cropped.
   */
  readonly jitter: readonly [min: number, max: number] | null;
  /** Else: lengths of the shorter edge, one of which is drawn, and the longest that the other may be. */
  readonly shorter: readonly number[];
  readonly longer: number;
}

/** What makes a training view. */
export interface ThingViewSettings extends ThingScale {
  /** Whether half of the views are mirrored. */
  readonly flip: boolean;
  /** Most things of a view; the largest are kept. */
  readonly most: number;
}

/** A bitmap of a thing, 0 or 1 `[H, W]`, and its class. */
export interface ThingMask {
  readonly category: number;
  readonly mask: Uint8Array;
}

/** A view. */
export interface ThingView {
  /** At most as large as the canvas. */
  readonly image: Image;
  /** `[n, 4]`: left, top, right and bottom edge of each mask, in pixels of the view. */
  readonly boxes: Float32Array<ArrayBuffer>;
  /** `[n]`. */
  readonly classes: Uint32Array<ArrayBuffer>;
  /** Bits of the canvas, row by row, 32 a word, the lowest first: `[n, H · W / 32]`. */
  readonly masks: Uint32Array<ArrayBuffer>;
}

/** Size of an image for evaluation: the largest within the canvas, or of the last of the shorter edges. */
export function evaluationScale(
  image: Size,
  { canvas, jitter, shorter, longer }: ThingScale,
): Size {
  if (jitter) return fitted(image, canvas, 1);
  return shortest(image, shorter.at(-1)!, longer);
}

/** The size of the same aspect that is `ratio` times the largest within the canvas, as detectron2's `ResizeScale`. */
function fitted({ width, height }: Size, canvas: Size, ratio: number): Size {
  const scale = Math.min(canvas.height * ratio / height, canvas.width * ratio / width);
  const scaled = (side: number) => Math.max(1, roundHalfEven(side * scale));
  return { width: scaled(width), height: scaled(height) };
}

function shortest({ width, height }: Size, shorter: number, longer: number): Size {
  const [h, w] = resizeShortestEdge([height, width], shorter, longer);
  return { width: Math.max(1, w), height: Math.max(1, h) };
}

/**
 * Makes a training view as detectron2 does: a random size, a random crop where that exceeds the canvas,
 * perhaps mirrored. Boxes are those of the masks that are left; things of which nothing is left are
 * left out.
 *
 * @param key Decides all draws.
 */
export function thingView(
  image: Image,
  things: readonly ThingMask[],
  settings: ThingViewSettings,
  key: Key,
): ThingView {
  const { canvas, jitter, shorter, longer } = settings;
  const [scaleKey, cropKey, flipKey] = split(key, 3);
  const [draw] = uniform(scaleKey, 1);
  const size = jitter
    ? fitted(image, canvas, jitter[0] + (jitter[1] - jitter[0]) * draw)
    : shortest(image, shorter[Math.floor(draw * shorter.length)], longer);
  const [left, top] = uniform(cropKey, 2);
  const box = {
    x: roundHalfEven(left * Math.max(0, size.width - canvas.width)),
    y: roundHalfEven(top * Math.max(0, size.height - canvas.height)),
    width: Math.min(size.width, canvas.width),
    height: Math.min(size.height, canvas.height),
  };
  const isFlipped = settings.flip && uniform(flipKey, 1)[0] < 0.5;
  const part = crop(resize(image, size.width, size.height, "bilinear"), box);
  // Where each column and row of the view is in the image: nearest, as Pillow has it.
  const columns = Int32Array.from({ length: box.width }, (_, i) => {
    const x = box.x + (isFlipped ? box.width - 1 - i : i);
    return Math.min(image.width - 1, Math.floor((x + 0.5) * image.width / size.width));
  });
  const rows = Int32Array.from(
    { length: box.height },
    (_, i) =>
      Math.min(image.height - 1, Math.floor((box.y + i + 0.5) * image.height / size.height)),
  );
  const found = things.map(({ category, mask }) => ({
    category,
    ...seen(mask, image.width, rows, columns, canvas),
  })).filter(({ area }) => area > 0);
  const kept = found.length <= settings.most
    ? found
    : found.toSorted((a, b) => b.area - a.area).slice(0, settings.most);
  const words = canvas.height * canvas.width / 32;
  const masks = new Uint32Array(kept.length * words);
  kept.forEach(({ bits }, i) => masks.set(bits, i * words));
  return {
    image: isFlipped ? flip(part) : part,
    boxes: Float32Array.from(kept.flatMap(({ box }) => box)),
    classes: Uint32Array.from(kept, ({ category }) => category),
    masks,
  };
}

/** What is seen of a mask: its bits on the canvas, their number, and its edges. */
function seen(
  mask: Uint8Array,
  width: number,
  rows: Int32Array,
  columns: Int32Array,
  canvas: Size,
): { bits: Uint32Array; area: number; box: [number, number, number, number] } {
  const bits = new Uint32Array(canvas.height * canvas.width / 32);
  let [area, left, top, right, bottom] = [0, canvas.width, canvas.height, 0, 0];
  for (let y = 0; y < rows.length; y++) {
    const start = rows[y] * width;
    for (let x = 0; x < columns.length; x++) {
      if (mask[start + columns[x]] === 0) continue;
      const at = y * canvas.width + x;
      bits[at >>> 5] |= 1 << (at & 31);
      area++;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  return { bits, area, box: [left, top, right, bottom] };
}
