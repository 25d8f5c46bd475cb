/**
 * Windows of a grid of tokens, within which attention stays (arXiv:2103.14030). A grid that they do not
 * divide is filled up with zeros at the bottom and on the right, after the norm, and what is filled up
 * takes part in attention, as in the published code.
 *
 * @module
 */
import { permute, reshape } from "../ops/shape.ts";
import { resample } from "../ops/resample.ts";
import type { Taps } from "../taps.ts";
import { type Tensor, tensor } from "../tensor.ts";
import type { Grid } from "./positions.ts";

/** How a grid is cut. */
export interface Windows {
  readonly grid: Grid;
  /** Tokens along the side of a window. */
  readonly side: number;
  /** Windows along both sides of the grid. */
  readonly counts: Grid;
  /** Tokens by which the grid is rolled up and to the left before it is cut. */
  readonly shift: Grid;
}

/**
 * Cuts a grid into windows.
 *
 * @param isShifted Whether they lie half a window further, along sides that have more than one.
 * @throws {RangeError} If the side is no whole number of tokens.
 */
export function windowsOf(grid: Grid, side: number, isShifted = false): Windows {
  if (!Number.isInteger(side) || side < 1) {
    throw new RangeError(`Cannot cut a grid of ${grid.join(" × ")} into windows of ${side}`);
  }
  const along = (length: number) => Math.ceil(length / side);
  const shifted = (length: number) => isShifted && length > side ? Math.floor(side / 2) : 0;
  return {
    ...{ grid, side },
    counts: [along(grid[0]), along(grid[1])],
    shift: [shifted(grid[0]), shifted(grid[1])],
  };
}

/** Tokens `[N, L, C]` → `[N · windows, side · side, C]`. */
export function partition(x: Tensor, { grid, side, counts, shift }: Windows): Tensor {
  const [n, , C] = x.shape;
  const whole = [0, 1].reduce(
    (map, axis) => along(map, axis, counts[axis] * side, shift[axis]),
    reshape(x, [n, ...grid, C]),
  );
  const split = reshape(whole, [n, counts[0], side, counts[1], side, C]);
  return reshape(permute(split, [0, 1, 3, 2, 4, 5]), [n * counts[0] * counts[1], side * side, C]);
}

/** The inverse of {@linkcode partition}, without what was filled up. */
export function merge(x: Tensor, { grid, side, counts, shift }: Windows): Tensor {
  const [GH, GW] = counts.map((count) => count * side);
  const C = x.shape[2];
  const n = x.shape[0] / (counts[0] * counts[1]);
  const split = reshape(x, [n, counts[0], counts[1], side, side, C]);
  const whole = reshape(permute(split, [0, 1, 3, 2, 4, 5]), [n, GH, GW, C]);
  const cut = [0, 1].reduce(
    (map, axis) => along(map, axis, grid[axis], map.shape[axis + 1] - shift[axis]),
    whole,
  );
  return reshape(cut, [n, grid[0] * grid[1], C]);
}

/**
 * Parts of shifted windows that are no neighbours in the grid: a token sees its own part alone. Undefined
 * if no window has several.
 *
 * @returns `[windows, side · side]`, u32.
 */
export function regionsOf({ side, counts, shift }: Windows): Tensor | undefined {
  if (Math.max(...shift) === 0) return undefined;
  const [rows, columns] = counts;
  // 0 before the last window, then 1 up to what was rolled, which is 2.
  const part = (axis: 0 | 1, place: number) => {
    const length = counts[axis] * side;
    return place < length - side ? 0 : place < length - shift[axis] ? 1 : 2;
  };
  const data = Uint32Array.from({ length: rows * columns * side * side }, (_, i) => {
    const [window, cell] = [Math.floor(i / (side * side)), i % (side * side)];
    const h = Math.floor(window / columns) * side + Math.floor(cell / side);
    const w = window % columns * side + cell % side;
    return 3 * part(0, h) + part(1, w);
  });
  return tensor(data, [rows * columns, side * side]);
}

/** Side `axis` of maps with `length` cells, rolled back by `offset`; zeros where there were none. */
function along(map: Tensor, axis: number, length: number, offset: number): Tensor {
  const size = map.shape[axis + 1];
  const round = Math.max(length, size);
  if (length === size && offset % round === 0) return map;
  const taps: Taps = Array.from({ length }, (_, i) => {
    const from = (i + offset) % round;
    return from < size ? [[from, 1]] : [];
  });
  return resample(map, axis + 1, taps);
}
