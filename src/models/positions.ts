/**
 * Position embeddings and tables of relative positions of other grids than they were learnt on.
 *
 * @module
 */
import { resizeBicubic } from "../ops/resample.ts";
import { reshape } from "../ops/shape.ts";
import type { Tensor } from "../tensor.ts";

/** Tokens along both sides of an image. */
export type Grid = readonly [GH: number, GW: number];

/** Position embeddings `[1, L, C]` of another grid (bicubic). */
export function positionsFor(table: Tensor, [GH, GW]: Grid, grid: Grid): Tensor {
  const C = table.shape[2];
  const resized = resizeBicubic(reshape(table, [1, GH, GW, C]), grid);
  return reshape(resized, [1, grid[0] * grid[1], C]);
}

/** A table of relative positions `[(2GH − 1) · (2GW − 1), heads]` of another grid (bicubic). */
export function tableFor(table: Tensor, [GH, GW]: Grid, grid: Grid): Tensor {
  const heads = table.shape[1];
  const [rows, columns] = grid.map((side) => 2 * side - 1);
  const resized = resizeBicubic(reshape(table, [1, 2 * GH - 1, 2 * GW - 1, heads]), [
    rows,
    columns,
  ]);
  return reshape(resized, [rows * columns, heads]);
}
