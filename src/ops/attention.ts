/**
 * Softmax and multi-head self-attention.
 *
 * @module
 */
import { apply, applyAll, type Dispatch, dispatch, type Target, workgroups } from "../op.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import { type Layout, productDispatch } from "./matmul.ts";

/** Softmax over the last axis, `[…, C]` → `[…, C]`. */
export function softmax(x: Tensor): Tensor {
  const C = x.shape.at(-1)!;
  const rows = sizeOf(x.shape) / C;
  return apply({
    name: "softmax",
    key: `softmax:${x.shape}`,
    outputs: [{ shape: x.shape, dtype: "f32" }],
    lowering: {
      kind: "kernel",
      dispatches: () => [dispatch("softmax", { C, stride: C, rows }, [0, 1], workgroups(rows))],
    },
    vjp: ([dy], _, [y]) => [
      apply({
        name: "softmax_grad",
        key: `softmax_grad:${y.shape}`,
        outputs: [{ shape: y.shape, dtype: "f32" }],
        lowering: {
          kind: "kernel",
          dispatches: () => [
            dispatch("softmaxGrad", { C, stride: C, rows }, [0, 1, 2], workgroups(rows)),
          ],
        },
      }, [dy!, y]),
    ],
  }, [x]);
}

/**
 * Multi-head self-attention, softmax(Q Kᵀ / √D) V (arXiv:1706.03762), between the linear layers that
 * make `qkv` and mix the heads.
 *
 * @param qkv `[N, L, 3 · heads · D]`, ordered as in timm: query, key, value, each head by head.
 * @param heads Number of heads.
 * @returns `[N, L, heads · D]`.
 * @throws {RangeError} If the heads do not divide the width.
 */
export function attention(qkv: Tensor, heads: number): Tensor {
  const [n, L, triple] = qkv.shape;
  const width = triple / 3;
  if (qkv.shape.length !== 3 || !Number.isInteger(width / heads)) {
    throw new RangeError(`Cannot split qkv [${qkv.shape}] into 3 × ${heads} heads`);
  }
  const at = layouts(L, width, heads);
  const rows = n * heads * L;
  const stride = filledUp(L);
  const map = { shape: [n, heads, L, stride], dtype: "f32" } as const;
  const [y] = applyAll({
    name: "attention",
    key: `attention:${qkv.shape}:${heads}`,
    // The result, the weights (kept for the gradient), the scores (gone with the op).
    outputs: [{ shape: [n, L, width], dtype: "f32" }, map, map],
    lowering: {
      kind: "kernel",
      dispatches: (target) => {
        const [input, result, weights, scores] = [0, 1, 2, 3];
        const product = productOf(target, n, heads);
        return [
          product(at.sizes.scores, [input, at.q], [input, flipped(at.k)], [scores, at.map]),
          dispatch("softmax", { C: L, stride, rows }, [scores, weights], workgroups(rows)),
          product(at.sizes.mix, [weights, at.map], [input, at.v], [result, at.y]),
        ];
      },
    },
    vjp: ([dy], [qkv], [, weights]) => [attentionGrad(dy!, qkv, weights, heads)],
  }, [qkv]);
  return y;
}

/** Gradient of attention with respect to qkv. */
function attentionGrad(dy: Tensor, qkv: Tensor, weights: Tensor, heads: number): Tensor {
  const [n, L, triple] = qkv.shape;
  const at = layouts(L, triple / 3, heads);
  const rows = n * heads * L;
  const [dqkv] = applyAll({
    name: "attention_grad",
    key: `attention_grad:${qkv.shape}:${heads}`,
    // The result; the gradients of weights and scores go with the op.
    outputs: [{ shape: qkv.shape, dtype: "f32" }, weights, weights],
    lowering: {
      kind: "kernel",
      dispatches: (target) => {
        const [dy, qkv, weights, dqkv, dWeights, dScores] = [0, 1, 2, 3, 4, 5];
        const product = productOf(target, n, heads);
        return [
          product({ ...at.sizes.scores, scale: 1 }, [dy, at.y], [qkv, flipped(at.v)], [
            dWeights,
            at.map,
          ]),
          dispatch(
            "softmaxGrad",
            { C: L, stride: filledUp(L), rows },
            [dWeights, weights, dScores],
            workgroups(rows),
          ),
          product(at.sizes.scaledMix, [dScores, at.map], [qkv, at.k], [dqkv, at.q]),
          product(at.sizes.scaledMix, [dScores, flipped(at.map)], [qkv, at.q], [dqkv, at.k]),
          product(at.sizes.mix, [weights, flipped(at.map)], [dy, at.y], [dqkv, at.v]),
        ];
      },
    },
  }, [dy, qkv, weights]);
  return dqkv;
}

/** Length of a map's rows: a multiple of four, so that any number of tokens suits the fast products. */
function filledUp(L: number): number {
  return 4 * Math.ceil(L / 4);
}

/** Where queries, keys, values, results and the maps [L, filledUp(L)] of each sample and head lie. */
function layouts(L: number, width: number, heads: number) {
  const D = width / heads;
  const part = (index: number): Layout => ({
    offset: index * width,
    outer: 3 * L * width,
    inner: D,
    row: 3 * width,
  });
  const scale = 1 / Math.sqrt(D);
  const row = filledUp(L);
  return {
    ...{ q: part(0), k: part(1), v: part(2) },
    y: { offset: 0, outer: L * width, inner: D, row: width },
    map: {
      ...{ offset: 0, outer: heads * L * row, inner: L * row, row },
      filled: true,
    },
    sizes: {
      scores: { M: L, N: L, K: D, scale },
      mix: { M: L, N: D, K: L, scale: 1 },
      scaledMix: { M: L, N: D, K: L, scale },
    },
  };
}

function flipped(layout: Layout): Layout {
  return { ...layout, transpose: true };
}

type Placed = readonly [operand: number, layout: Layout];

/** Products over every sample and head. */
function productOf(target: Target, outer: number, inner: number) {
  return (
    sizes: { M: number; N: number; K: number; scale: number },
    [a, layoutA]: Placed,
    [b, layoutB]: Placed,
    [c, layoutC]: Placed,
  ): Dispatch =>
    productDispatch(target, { ...sizes, outer, inner, a: layoutA, b: layoutB, c: layoutC }, [
      a,
      b,
      c,
    ]);
}
