/**
 * BatchNorms of batches some of whose rows count nothing.
 *
 * @module
 */
import { add, div, maximum, mul, sqrt, square, sub, where } from "../ops/map.ts";
import { sum } from "../ops/reduce.ts";
import { reshape } from "../ops/shape.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import { entries, type Tree } from "../tree.ts";
import { BATCH_NORM, type byBatch } from "./batch_norm.ts";

/**
 * As `byBatch`, by the moments of the rows that count. Where none does, the running moments stay.
 *
 * @param counts 1 for a row that counts, 0 for one that does not, `[R]` of maps `[R, …, C]`.
 */
export function byCountedRows(
  params: Tree<Tensor>,
  counts: Tensor,
): ReturnType<typeof byBatch> {
  const measured = new Map<Tensor, Tensor>();
  return {
    normalise: (x, { weight, bias, running_mean, running_var }) => {
      const [R] = x.shape;
      const C = x.shape.at(-1)!;
      const cells = sizeOf(x.shape) / R / C;
      const rows = reshape(x, [R, cells, C]);
      const counted = reshape(counts, [R, 1, 1]);
      const total = mul(sum(counts), cells);
      const average = div(sum(mul(rows, counted), [0, 1], true), maximum(total, 1));
      const centred = sub(rows, average);
      const squares = sum(mul(square(centred), counted), [0, 1], true);
      const variance = div(squares, maximum(total, 1));
      measured.set(running_mean, where(total, reshape(average, [C]), running_mean));
      const unbiased = div(reshape(squares, [C]), maximum(sub(total, 1), 1));
      measured.set(running_var, where(total, unbiased, running_var));
      const y = div(centred, sqrt(add(variance, BATCH_NORM.eps)));
      return add(mul(reshape(y, x.shape), weight), bias);
    },
    statistics: () =>
      Object.fromEntries(
        entries<Tensor>(params).filter(([, value]) => measured.has(value))
          .map(([path, value]) => [path, measured.get(value)!]),
      ),
  };
}
