/**
 * Softmax and multi-head self-attention.
 *
 * @module
 */
import { apply, applyAll, type Dispatch, dispatch, type Target, workgroups } from "../op.ts";
import { type Aval, type Shape, sizeOf, type Tensor } from "../tensor.ts";
import { type Layout, productDispatch } from "./matmul.ts";

/** Operations a value: largest, difference, exponential, sum, quotient; y · (dy − Σ dy · y). */
const [SOFTMAX, SOFTMAX_GRAD] = [5, 4];

/** Softmax over the last axis, `[…, C]` → `[…, C]`. */
export function softmax(x: Tensor): Tensor {
  const C = x.shape.at(-1)!;
  const rows = sizeOf(x.shape) / C;
  return apply({
    name: "softmax",
    key: `softmax:${x.shape}`,
    outputs: [{ shape: x.shape, dtype: "f32" }],
    flops: SOFTMAX * rows * C,
    lowering: {
      kind: "kernel",
      dispatches: () => [dispatch("softmax", { C, stride: C, rows }, [0, 1], workgroups(rows))],
    },
    vjp: ([dy], _, [y]) => [
      apply({
        name: "softmax_grad",
        key: `softmax_grad:${y.shape}`,
        outputs: [{ shape: y.shape, dtype: "f32" }],
        flops: SOFTMAX_GRAD * rows * C,
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

/** Elements of attention's maps that are in memory at a time: 16 MiB, about what a CPU's cache holds. */
const CHUNK = 4 * 2 ** 20;

/** Sizes of an attention. */
interface Sizes {
  readonly n: number;
  readonly L: number;
  readonly heads: number;
  readonly D: number;
  readonly scale: number;
}

/**
 * Multi-head self-attention, softmax(Q Kᵀ / √D) V (arXiv:1706.03762), between the linear layers that
 * make `qkv` and mix the heads.
 *
 * On a GPU no scores and weights are stored, they are computed again for the gradient
 * (arXiv:2205.14135). A CPU adapter is faster by products over maps of all scores; it takes a chunk
 * of samples and heads at a time, and keeps the weights for the gradient if they are all in one.
 *
 * @param qkv `[N, L, 3 · heads · D]`, ordered as in timm: query, key, value, each head by head.
 * @param heads Number of heads.
 * @returns `[N, L, heads · D]`.
 * @throws {RangeError} If the heads do not divide the width.
 */
export function attention(qkv: Tensor, heads: number): Tensor {
  const [n, L, triple] = qkv.shape;
  const D = triple / 3 / heads;
  if (qkv.shape.length !== 3 || !Number.isInteger(D)) {
    throw new RangeError(`Cannot split qkv [${qkv.shape}] into 3 × ${heads} heads`);
  }
  const sizes = { n, L, heads, D, scale: 1 / Math.sqrt(D) };
  const chunks = chunksOf(sizes);
  const map = scratch([chunks[0].samples, chunks[0].heads, L, filledUp(L)]);
  const [y] = applyAll({
    name: "attention",
    key: `attention:${qkv.shape}:${heads}`,
    // The result; largest score and inverse sum of each query; weights; scores, gone with the op.
    outputs: [{ shape: [n, L, heads * D], dtype: "f32" }, scratch([n, heads, L, 2]), map, map],
    flops: n * heads * L * L * (2 * 2 * D + SOFTMAX), // two products
    activation: "follows",
    lowering: {
      kind: "kernel",
      dispatches: (target) => {
        const [qkv, y, moments, weights, scores] = [0, 1, 2, 3, 4];
        if (streams(target, sizes)) {
          return [dispatch("attention", tiling(sizes), [qkv, y, moments], tiles(sizes))];
        }
        return chunks.flatMap((chunk) => {
          const at = layouts(sizes, chunk);
          const product = productOf(target, chunk);
          return [
            ...weighing(target, sizes, chunk, { qkv, scores, weights }),
            product(at.sizes.mix, [weights, at.map], [qkv, at.v], [y, at.y]),
          ];
        });
      },
    },
    vjp: ([dy], [qkv], [y, moments, weights]) => [
      attentionGrad(sizes, [dy!, qkv, y, moments], chunks.length === 1 ? weights : undefined),
    ],
  }, [qkv]);
  return y;
}

/** Gradient of attention with respect to qkv. */
function attentionGrad(
  sizes: Sizes,
  inputs: readonly [dy: Tensor, qkv: Tensor, y: Tensor, moments: Tensor],
  kept?: Tensor,
): Tensor {
  const { n, L, heads, D } = sizes;
  const { shape } = inputs[1];
  const chunks = chunksOf(sizes);
  const map = scratch([chunks[0].samples, chunks[0].heads, L, filledUp(L)]);
  const [dqkv] = applyAll({
    name: "attention_grad",
    key: `attention_grad:${shape}:${heads}`,
    // The result; what else there is goes with the op: the mean gradient of each query's weights, the
    // gradients of weights and scores, weights that were not kept.
    outputs: [{ shape, dtype: "f32" }, scratch([n, heads, L]), map, map, ...kept ? [] : [map]],
    flops: n * heads * L * L * (4 * 2 * D + SOFTMAX_GRAD), // four, besides that of scores made again
    activation: "follows",
    lowering: {
      kind: "kernel",
      dispatches: (target) => {
        const [dy, qkv, y, moments] = [0, 1, 2, 3];
        const [dqkv, means, dWeights, dScores] = kept ? [5, 6, 7, 8] : [4, 5, 6, 7];
        const weights = kept ? 4 : 8;
        if (streams(target, sizes)) {
          const [constants, groups] = [tiling(sizes), tiles(sizes)];
          const operands = [dy, qkv, y, moments, dqkv, means];
          return [
            dispatch("attentionGradQuery", constants, operands, groups),
            dispatch("attentionGradKey", constants, [dy, qkv, moments, means, dqkv], groups),
          ];
        }
        return chunks.flatMap((chunk) => {
          const at = layouts(sizes, chunk);
          const product = productOf(target, chunk);
          const scores = dWeights; // not needed any more when those are
          return [
            ...kept ? [] : weighing(target, sizes, chunk, { qkv, scores, weights }),
            product(at.sizes.dots, [dy, at.y], [qkv, flipped(at.v)], [dWeights, at.map]),
            dispatch(
              "softmaxGrad",
              at.rows,
              [dWeights, weights, dScores],
              workgroups(at.rows.rows),
            ),
            product(at.sizes.scaledMix, [dScores, at.map], [qkv, at.k], [dqkv, at.q]),
            product(at.sizes.scaledMix, [dScores, flipped(at.map)], [qkv, at.q], [dqkv, at.k]),
            product(at.sizes.mix, [weights, flipped(at.map)], [dy, at.y], [dqkv, at.v]),
          ];
        });
      },
    },
  }, kept ? [...inputs, kept] : inputs);
  return dqkv;
}

/**
 * What only kernels of attention read. As bits, since a search for values that are not finite must
 * not look at what an adapter leaves unwritten.
 */
function scratch(shape: Shape): Aval {
  return { shape, dtype: "u32" };
}

/** Whether an adapter takes the kernels that store no scores; they hold heads of 128 at most. */
function streams(target: Target, { D }: Sizes): boolean {
  return !target.cpu && D <= 128;
}

/** Constants of these kernels. */
function tiling({ L, heads, D, scale }: Sizes) {
  const lanes = [1, 2, 4, 8, 16].find((lanes) => 4 * lanes >= D) ?? 16;
  return { L, heads, D, lanes, scale };
}

/** Workgroups of these kernels: one for every 64 queries, or keys. */
function tiles({ n, L, heads }: Sizes): [number, number, number] {
  return [Math.ceil(L / 64), heads, n];
}

/** Samples and heads whose maps are in memory together. */
interface Chunk {
  readonly sample: number; // the first
  readonly samples: number;
  readonly head: number;
  readonly heads: number;
}

/** Whole samples; or, where one has too many scores, as many heads as fit, at least one. */
function chunksOf({ n, L, heads }: Sizes): Chunk[] {
  const maps = Math.max(1, Math.floor(CHUNK / (L * filledUp(L))));
  const samples = Math.min(n, Math.max(1, Math.floor(maps / heads)));
  const abreast = Math.min(heads, maps);
  const chunks: Chunk[] = [];
  for (let sample = 0; sample < n; sample += samples) {
    for (let head = 0; head < heads; head += abreast) {
      chunks.push({
        ...{ sample, samples: Math.min(samples, n - sample) },
        ...{ head, heads: Math.min(abreast, heads - head) },
      });
    }
  }
  return chunks;
}

/** The weights of a chunk, by way of its scores. */
function weighing(
  target: Target,
  sizes: Sizes,
  chunk: Chunk,
  { qkv, scores, weights }: Readonly<Record<"qkv" | "scores" | "weights", number>>,
): Dispatch[] {
  const at = layouts(sizes, chunk);
  return [
    productOf(target, chunk)(
      at.sizes.scores,
      [qkv, at.q],
      [qkv, flipped(at.k)],
      [scores, at.map],
    ),
    dispatch("softmax", at.rows, [scores, weights], workgroups(at.rows.rows)),
  ];
}

/** Length of a map's rows: a multiple of four, so that any number of tokens suits the fast products. */
function filledUp(L: number): number {
  return 4 * Math.ceil(L / 4);
}

/** Where queries, keys, values, results and the maps [L, filledUp(L)] of a chunk lie. */
function layouts({ L, heads, D, scale }: Sizes, chunk: Chunk) {
  const width = heads * D;
  const place = (index: number, row: number): Layout => ({
    offset: chunk.sample * L * row + index * width + chunk.head * D,
    ...{ outer: L * row, inner: D, row },
  });
  const row = filledUp(L);
  return {
    ...{ q: place(0, 3 * width), k: place(1, 3 * width), v: place(2, 3 * width) },
    y: place(0, width),
    map: {
      ...{ offset: 0, outer: chunk.heads * L * row, inner: L * row, row },
      filled: true,
    },
    rows: { C: L, stride: row, rows: chunk.samples * chunk.heads * L },
    sizes: {
      scores: { M: L, N: L, K: D, scale },
      dots: { M: L, N: L, K: D, scale: 1 },
      mix: { M: L, N: D, K: L, scale: 1 },
      scaledMix: { M: L, N: D, K: L, scale },
    },
  };
}

function flipped(layout: Layout): Layout {
  return { ...layout, transpose: true };
}

type Placed = readonly [operand: number, layout: Layout];

/** Products over every sample and head of a chunk. */
function productOf(target: Target, { samples, heads }: Chunk) {
  return (
    sizes: { M: number; N: number; K: number; scale: number },
    [a, layoutA]: Placed,
    [b, layoutB]: Placed,
    [c, layoutC]: Placed,
  ): Dispatch =>
    productDispatch(target, {
      ...sizes,
      ...{ outer: samples, inner: heads, a: layoutA, b: layoutB, c: layoutC },
    }, [a, b, c]);
}
