/**
 * Segmentations of a file: whether they are masks of an image, and as strings of runs, which take
 * least memory.
 *
 * @module
 */
import type { Segmentation } from "./instances.ts";
import { rasterise } from "./polygon.ts";
import { areaOf, type RunLengths, unionOf } from "./run_lengths.ts";
import { decodeRuns, runString } from "./run_string.ts";

/** Height and width of an image, in pixels. */
export type ImageSize = readonly [height: number, width: number];

/** Farther than this from an image nobody draws; its points would be many. */
const FARTHEST = 1e6;

/**
 * Checks that a value is a mask of an image. Parts of polygons may lie outside.
 *
 * @throws {RangeError} If it is not; the message ends a sentence that names it.
 */
export function checkSegmentation(value: unknown, size: ImageSize): Segmentation {
  if (Array.isArray(value)) checkPolygons(value);
  else runsIn(value, size);
  return value as Segmentation;
}

/**
 * A mask of an image as a string of runs, and its pixels; polygons are joined.
 *
 * @throws {RangeError} As {@linkcode checkSegmentation}.
 */
export function compress(
  value: unknown,
  size: ImageSize,
): { readonly string: string; readonly area: number } {
  const runs = Array.isArray(value)
    ? unionOf(checkPolygons(value).map((polygon) => rasterise(polygon, ...size)))
    : runsIn(value, size);
  const { counts: given } = value as { readonly counts?: unknown };
  return { string: typeof given === "string" ? given : runString(runs), area: areaOf(runs) };
}

function checkPolygons(polygons: readonly unknown[]): readonly (readonly number[])[] {
  if (polygons.length === 0) throw new RangeError("has no polygon");
  for (const polygon of polygons) {
    const isPolygon = Array.isArray(polygon) && polygon.length >= 6 && polygon.length % 2 === 0 &&
      polygon.every((value) => typeof value === "number" && Math.abs(value) <= FARTHEST);
    if (!isPolygon) {
      throw new RangeError("has a polygon that is no list x, y, x, y … of three points or more");
    }
  }
  return polygons as readonly number[][];
}

/** Counts of runs that cover an image, until the next call. */
function runsIn(value: unknown, [height, width]: ImageSize): ArrayLike<number> {
  if (typeof value !== "object" || value === null || !("counts" in value)) {
    throw new RangeError("must be a list of polygons or an object with counts and size");
  }
  const { counts, size } = value as Partial<RunLengths>;
  const isSize = Array.isArray(size) && size.length === 2 && size[0] === height &&
    size[1] === width;
  if (!isSize) {
    const found = JSON.stringify(size) ?? "none";
    throw new RangeError(`must have its image's size [${height},${width}], got ${found}`);
  }
  const runs = typeof counts === "string" ? decoded(counts) : counted(counts);
  let pixels = 0;
  for (let i = 0; i < runs.length; i++) pixels += runs[i];
  if (pixels !== height * width) {
    throw new RangeError(`has runs of ${pixels} pixels in an image of ${height * width}`);
  }
  return runs;
}

/** Room for the counts of a mask; made again where it is too little. */
let room = new Uint32Array(1024);

function decoded(string: string): Uint32Array {
  if (room.length < string.length) room = new Uint32Array(2 * string.length);
  return room.subarray(0, decodeRuns(string, room, 0));
}

function counted(counts: unknown): readonly number[] {
  const isList = Array.isArray(counts) &&
    counts.every((count) => Number.isSafeInteger(count) && count >= 0);
  if (!isList) throw new RangeError("must have counts that are a string or integers from 0 up");
  return counts;
}
