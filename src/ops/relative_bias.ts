/**
 * Relative positions of the cells of a grid, for attention.
 *
 * @module
 */
import { linearTaps, type Taps } from "../taps.ts";
import type { Tensor } from "../tensor.ts";
import { matmul } from "./matmul.ts";
import { resample } from "./resample.ts";
import type { ScoreBias } from "./score_bias.ts";
import { permute, reshape, slice } from "./shape.ts";

/** Height and width. */
type Sides = readonly [height: number, width: number];

/**
 * All that attention's scores get from a table, which they read there: for a query at (h, w) and a key
 * at (i, j), row (h − i + H − 1) · (2W − 1) + w − j + W − 1 (arXiv:2103.14030).
 *
 * @param table `[(2H − 1) · (2W − 1), heads]`.
 * @param sides H and W of the grid.
 * @returns `[heads, L, L]`, L = H · W, by query and key.
 * @throws {RangeError} If the table is of another grid.
 */
export function relativeBias(table: Tensor, [H, W]: Sides): Tensor {
  const [length, heads] = table.shape;
  if (table.shape.length !== 2 || length !== (2 * H - 1) * (2 * W - 1)) {
    throw new RangeError(`Cannot spread a table [${table.shape}] over a grid of ${H} × ${W}`);
  }
  const L = H * W;
  const pairs = Array.from({ length: L * L }, (_, pair) => {
    const [query, key] = [Math.floor(pair / L), pair % L];
    const down = Math.floor(query / W) - Math.floor(key / W) + H - 1;
    return [[down * (2 * W - 1) + query % W - key % W + W - 1, 1]] as const;
  });
  return reshape(permute(resample(table, 0, pairs), [1, 0]), [heads, L, L]);
}

/**
 * Biases by query, and how many rows and columns a key lies from it (arXiv:2112.01526): the query, not
 * scaled, times a row of a table for each axis.
 *
 * @param qkv `[N, L, 3 · heads · D]`, as for `attention`.
 * @param sides H and W of the grid, L = H · W.
 * @param rows `[2H − 1, D]`; of another length, it is interpolated (linear).
 * @param columns `[2W − 1, D]`; likewise.
 * @returns What `attention` takes.
 * @throws {RangeError} If the grid is of other tokens, or the tables of another width than the heads.
 */
export function axisBias(
  qkv: Tensor,
  heads: number,
  sides: Sides,
  { rows, columns }: { readonly rows: Tensor; readonly columns: Tensor },
): ScoreBias {
  const [n, L, triple] = qkv.shape;
  const [H, W] = sides;
  const D = triple / 3 / heads;
  if (H * W !== L || rows.shape[1] !== D || columns.shape[1] !== D) {
    throw new RangeError(
      `Cannot take biases by rows [${rows.shape}] and columns [${columns.shape}] on a grid of ` +
        `${H} × ${W} for ${heads} heads of qkv [${qkv.shape}]`,
    );
  }
  const queries = reshape(slice(qkv, 2, 0, heads * D), [n, H, W, heads, D]);
  // Row by row of the queries, whose keys are as far away: [H, N · W · heads, D] by [H, H, D].
  const byRows = matmul(
    reshape(permute(queries, [1, 0, 2, 3, 4]), [H, n * W * heads, D]),
    reshape(resample(ofLength(rows, 2 * H - 1), 0, pairs(H)), [H, H, D]),
    { transposeB: true },
  );
  const byColumns = matmul(
    reshape(permute(queries, [2, 0, 1, 3, 4]), [W, n * H * heads, D]),
    reshape(resample(ofLength(columns, 2 * W - 1), 0, pairs(W)), [W, W, D]),
    { transposeB: true },
  );
  return {
    grid: sides,
    rows: reshape(
      permute(reshape(byRows, [H, n, W, heads, H]), [1, 3, 0, 2, 4]),
      [n, heads, L, H],
    ),
    columns: reshape(
      permute(reshape(byColumns, [W, n, H, heads, W]), [1, 3, 2, 0, 4]),
      [n, heads, L, W],
    ),
  };
}

function ofLength(table: Tensor, length: number): Tensor {
  return table.shape[0] === length ? table : resample(table, 0, linearTaps(table.shape[0], length));
}

/** For each place of a query and of a key along an axis, the entry of a table. */
function pairs(side: number): Taps {
  return Array.from({ length: side * side }, (_, pair) => {
    const [query, key] = [Math.floor(pair / side), pair % side];
    return [[query - key + side - 1, 1]] as const;
  });
}
