/** Fixed position tables, computed in float64 and rounded to float32 at the end. */
import { cubicTaps } from "./taps.ts";

/**
 * 2-D sin-cos position embedding of MAE and MCMAE (`util/pos_embed.py`).
 *
 * The first half of the channels encodes the column, the second half the row; each half is
 * `[sin(p·ω), cos(p·ω)]` with ω_k = 10000^(−k / (dim/4)).
 *
 * @param dim Channels C, divisible by 4.
 * @param clsToken Whether a row of zeros for a class token comes first.
 * @returns Table `[gridHeight · gridWidth (+ 1), C]`, row-major over the grid.
 * @throws {RangeError} If `dim` is not a positive multiple of 4.
 */
export function sincos2d(
  dim: number,
  gridHeight: number,
  gridWidth: number,
  clsToken: boolean,
): Float32Array<ArrayBuffer> {
  if (dim % 4 !== 0 || dim <= 0) {
    throw new RangeError(
      `Cannot build a 2-D sin-cos table: dim must be a multiple of 4, got ${dim}`,
    );
  }
  const quarter = dim / 4;
  const first = clsToken ? 1 : 0;
  const table = new Float32Array((gridHeight * gridWidth + first) * dim);
  for (let row = 0; row < gridHeight; row++) {
    for (let column = 0; column < gridWidth; column++) {
      const start = (row * gridWidth + column + first) * dim;
      for (let k = 0; k < quarter; k++) {
        const omega = 1 / 10000 ** (k / quarter);
        table[start + k] = Math.sin(column * omega);
        table[start + quarter + k] = Math.cos(column * omega);
        table[start + 2 * quarter + k] = Math.sin(row * omega);
        table[start + 3 * quarter + k] = Math.cos(row * omega);
      }
    }
  }
  return table;
}

/**
 * 1-D sinusoid position embedding of VideoMAE (`get_sinusoid_encoding_table`), after
 * arXiv:1706.03762: sine in even channels, cosine in odd ones.
 *
 * @param n Positions.
 * @param dim Channels C.
 * @returns Table `[n, C]`.
 */
export function sinusoid(n: number, dim: number): Float32Array<ArrayBuffer> {
  const table = new Float32Array(n * dim);
  for (let position = 0; position < n; position++) {
    for (let channel = 0; channel < dim; channel++) {
      const pair = channel - channel % 2;
      const angle = position / 10000 ** (pair / dim);
      table[position * dim + channel] = channel % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
    }
  }
  return table;
}

/** Rows and columns of a grid of tokens. */
export type Grid = readonly [rows: number, columns: number];

/**
 * Position embeddings for another grid, as `interpolate_pos_embed` of MAE and MCMAE makes them:
 * PyTorch's bicubic interpolation (a = −0.75, `align_corners=False`, no antialias).
 *
 * @param table `[extra + from rows · from columns, C]`, row-major over the grid.
 * @param extra Tokens before the grid, such as a class token; they are kept.
 * @returns Table `[extra + to rows · to columns, C]`.
 * @throws {RangeError} If the table does not hold as many tokens.
 */
export function interpolatePositions(
  table: Float32Array,
  from: Grid,
  to: Grid,
  extra = 0,
): Float32Array<ArrayBuffer> {
  const [[rows, columns], [newRows, newColumns]] = [from, to];
  const width = table.length / (extra + rows * columns);
  if (!Number.isInteger(width)) {
    throw new RangeError(
      `Cannot interpolate positions: ${table.length} values are no ${extra} + ${rows} × ${columns} tokens`,
    );
  }
  const result = new Float32Array((extra + newRows * newColumns) * width);
  result.set(table.subarray(0, extra * width));
  const [down, across] = [cubicTaps(rows, newRows), cubicTaps(columns, newColumns)];
  for (let row = 0, to = extra * width; row < newRows; row++) {
    for (let column = 0; column < newColumns; column++) {
      for (let channel = 0; channel < width; channel++, to++) {
        let sum = 0;
        for (const [y, a] of down[row]) {
          for (const [x, b] of across[column]) {
            sum += a * b * table[(extra + y * columns + x) * width + channel];
          }
        }
        result[to] = sum;
      }
    }
  }
  return result;
}
