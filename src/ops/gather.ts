/**
 * Picking rows by index.
 *
 * @module
 */
import { apply, dispatch, workgroups } from "../op.ts";
import type { Tensor } from "../tensor.ts";

/**
 * Picks rows by index, as MAE does for its visible tokens (arXiv:2111.06377). An index past the end
 * of x gives a row of zeros.
 *
 * @param x Tokens `[N, L, C]`.
 * @param index Rows to keep `[N, K]`, u32, those below L unique within each sample.
 * @param inverse For each row of x its place in the result, K or more where it has none: `[N, L]`,
 *   u32. The gradient is a gather by it, which is why no atomics are needed.
 * @returns Kept tokens `[N, K, C]`.
 * @throws {RangeError} If the shapes do not fit together.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { gather, openDevice, read, tensor } from "@mcmae/mcmae";
 *
 * const tokens = tensor([10, 20, 30], [1, 3, 1]);
 * const keep = tensor(new Uint32Array([2, 0]), [1, 2]);
 * const restore = tensor(new Uint32Array([1, 2, 0]), [1, 3]); // 2: token 1 is not kept
 * const kept = gather(tokens, keep, restore);
 * assert.deepEqual([...await read(await openDevice(), kept)], [30, 10]);
 * ```
 */
export function gather(x: Tensor, index: Tensor, inverse: Tensor): Tensor {
  const [n, L, C] = x.shape;
  const [m, K] = index.shape;
  if (x.shape.length !== 3 || n !== m || inverse.shape[0] !== n || inverse.shape[1] !== L) {
    throw new RangeError(
      `Cannot gather rows of [${x.shape}] by [${index.shape}] with inverse [${inverse.shape}]`,
    );
  }
  const lanes = C % 4 === 0 ? 4 : 1;
  const size = n * K * C / lanes;
  return apply({
    name: "gather",
    key: `gather:${x.shape}:${K}`,
    outputs: [{ shape: [n, K, C], dtype: "f32" }],
    activation: "follows",
    lowering: {
      kind: "kernel",
      dispatches: () => [
        dispatch("gather", { L, K, C: C / lanes, size }, [0, 1, 3], workgroups(size), lanes),
      ],
    },
    vjp: ([dy]) => [gather(dy!, inverse, index), undefined, undefined],
  }, [x, index, inverse]);
}
