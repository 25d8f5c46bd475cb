/** Fixed position tables, computed in float64 and rounded to float32 at the end. */

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
