/**
 * Polygons as masks.
 *
 * @module
 */

/** How many times as fine as pixels the grid is that edges are drawn on. */
const SCALE = 5;

/**
 * Rasterises a polygon exactly as `rleFrPoly` of COCO's API does: its outline is drawn on a finer
 * grid, and where that goes from one column of pixels to the next, the column's runs change.
 *
 * @param polygon Corners `[x, y, x, y …]`, of which the last is joined to the first. What lies
 * outside the image is cut off.
 * @returns Counts, without empty runs but for the first.
 */
export function rasterise(
  polygon: readonly number[],
  height: number,
  width: number,
): Uint32Array {
  const changes = [...crossings(polygon, height, width), height * width];
  const places = Uint32Array.from(changes).sort();
  const counts: number[] = [];
  // Two changes at the same place cancel.
  for (let i = 0, last = 0, joins = false; i < places.length; i++) {
    const count = places[i] - last;
    last = places[i];
    if (joins) counts[counts.length - 1] += count;
    else if (count > 0 || i === 0) counts.push(count);
    joins = !joins && count === 0 && i > 0;
  }
  return Uint32Array.from(counts);
}

/** Places, counted down the columns, at which the outline enters another column. */
function crossings(polygon: readonly number[], height: number, width: number): number[] {
  const places: number[] = [];
  const corners = polygon.map((value) => Math.trunc(SCALE * value + 0.5));
  let [lastX, lastY] = corners;
  const visit = (x: number, y: number) => {
    // The middle of a column is reached between the points 2 and 3 of its 5.
    const column = ((x < lastX ? x : x - 1) + 0.5) / SCALE - 0.5;
    if (x !== lastX && Number.isInteger(column) && column >= 0 && column < width) {
      const row = ((y < lastY ? y : lastY) + 0.5) / SCALE - 0.5;
      places.push(column * height + Math.ceil(Math.max(0, Math.min(height, row))));
    }
    [lastX, lastY] = [x, y];
  };
  for (let i = 0; i < corners.length; i += 2) {
    const next = (i + 2) % corners.length;
    drawEdge(corners[i], corners[i + 1], corners[next], corners[next + 1], visit);
  }
  return places;
}

/** Visits the points of an edge, one for each step along its longer side. */
function drawEdge(
  x: number,
  y: number,
  toX: number,
  toY: number,
  visit: (x: number, y: number) => void,
): void {
  const [dx, dy] = [Math.abs(toX - x), Math.abs(toY - y)];
  const isFlat = dx >= dy;
  // Points are rounded from the same end in either direction.
  const isFlipped = isFlat ? x > toX : y > toY;
  if (isFlipped) [x, y, toX, toY] = [toX, toY, x, y];
  const steps = isFlat ? dx : dy;
  const slope = steps === 0 ? 0 : isFlat ? (toY - y) / dx : (toX - x) / dy;
  for (let i = 0; i <= steps; i++) {
    const step = isFlipped ? steps - i : i;
    if (isFlat) visit(x + step, Math.trunc(y + slope * step + 0.5));
    else visit(Math.trunc(x + slope * step + 0.5), y + step);
  }
}
