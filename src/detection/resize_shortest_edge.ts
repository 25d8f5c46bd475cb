/**
 * Sizes of images for detection.
 *
 * @module
 */
import type { Sides } from "./boxes.ts";

/**
 * The size at which an image's shorter side is `shorter`, or its longer one `longest` where that would
 * be exceeded, as detectron2's `ResizeShortestEdge`.
 */
export function resizeShortestEdge(
  [height, width]: Sides,
  shorter: number,
  longest: number,
): [height: number, width: number] {
  const scale = shorter / Math.min(height, width);
  let sides = height < width ? [shorter, scale * width] : [scale * height, shorter];
  const longer = Math.max(...sides);
  if (longer > longest) sides = sides.map((side) => side * (longest / longer));
  const [newHeight, newWidth] = sides.map((side) => Math.floor(side + 0.5));
  return [newHeight, newWidth];
}
