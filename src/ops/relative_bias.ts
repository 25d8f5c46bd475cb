/**
 * Relative positions of the cells of a grid, for attention.
 *
 * @module
 */
import { apply, dispatch, workgroups } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { matmul } from "./matmul.ts";
import { add, mul } from "./map.ts";
import { permute, reshape, slice } from "./shape.ts";
import { softmax } from "./attention.ts";

/** Height and width. */
type Sides = readonly [height: number, width: number];

/**
 * What attention's scores get for how far a query lies from a key (arXiv:2103.14030): for a query at
 * (h, w) and a key at (i, j), row (h − i + H − 1) · (2W − 1) + w − j + W − 1 of a table.
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
  const constants = { H, W, heads };
  return apply({
    name: "relative_bias",
    key: `relative_bias:${table.shape}:${H}`,
    outputs: [{ shape: [heads, L, L], dtype: "f32" }],
    lowering: {
      kind: "kernel",
      dispatches: () => [
        dispatch(
          "relativeBias",
          { ...constants, size: heads * L * L },
          [0, 1],
          workgroups(heads * L * L),
        ),
      ],
    },
    vjp: ([dy]) => [
      apply({
        name: "relative_bias_grad",
        key: `relative_bias_grad:${table.shape}:${H}`,
        outputs: [{ shape: table.shape, dtype: "f32" }],
        flops: heads * L * L,
        lowering: {
          kind: "kernel",
          dispatches: () => [
            dispatch(
              "relativeBiasGrad",
              { ...constants, size: length * heads },
              [0, 1],
              workgroups(length * heads),
            ),
          ],
        },
      }, [dy!]),
    ],
  }, [table]);
}

/**
 * Multi-head self-attention whose scores have a bias, softmax(Q Kᵀ / √D + B) V. All scores are kept
 * for the gradient.
 *
 * @param qkv `[N, L, 3 · heads · D]`, as for `attention`.
 * @param bias B, `[heads, L, L]`.
 * @returns `[N, L, heads · D]`.
 * @throws {RangeError} If the bias is of other heads or another length.
 */
export function biasedAttention(qkv: Tensor, bias: Tensor): Tensor {
  const [n, L, triple] = qkv.shape;
  const [heads] = bias.shape;
  const D = triple / 3 / heads;
  if (
    !Number.isInteger(D) || bias.shape.length !== 3 || bias.shape[1] !== L || bias.shape[2] !== L
  ) {
    throw new RangeError(`Cannot add a bias [${bias.shape}] to the scores of qkv [${qkv.shape}]`);
  }
  const parts = permute(reshape(qkv, [n, L, 3, heads, D]), [2, 0, 3, 1, 4]);
  const [q, k, v] = [0, 1, 2].map((i) => reshape(slice(parts, 0, i, i + 1), [n, heads, L, D]));
  const scores = matmul(mul(q, 1 / Math.sqrt(D)), k, { transposeB: true });
  const mixed = matmul(softmax(add(scores, bias)), v);
  return reshape(permute(mixed, [0, 2, 1, 3]), [n, L, heads * D]);
}
