/**
 * Softmax and multi-head self-attention.
 *
 * @module
 */
import { apply, applyAll, type Dispatch, dispatch, type Target, workgroups } from "../op.ts";
import { type Aval, type Shape, sizeOf, type Tensor } from "../tensor.ts";
import {
  type Chunk,
  chunksOf,
  filledUp,
  flipped,
  layouts,
  productOf,
  type Sizes,
} from "./attention_chunks.ts";
import {
  addTerm,
  biasFlops,
  checkBias,
  type ScoreBias,
  termGradient,
  termsOf,
} from "./score_bias.ts";

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
      dispatches: (target) => [softmaxRows(target, { C, stride: C, rows }, [0, 1])],
    },
    vjp: ([dy], _, [y]) => [
      apply({
        name: "softmax_grad",
        key: `softmax_grad:${y.shape}`,
        outputs: [{ shape: y.shape, dtype: "f32" }],
        flops: SOFTMAX_GRAD * rows * C,
        lowering: {
          kind: "kernel",
          dispatches: (target) => [softmaxRowsGrad(target, { C, stride: C, rows }, [0, 1, 2])],
        },
      }, [dy!, y]),
    ],
  }, [x]);
}

/** Rows `stride` long, of which C values count. */
type Rows = Readonly<Record<"C" | "stride" | "rows", number>>;

function softmaxRows(target: Target, rows: Rows, operands: readonly number[]): Dispatch {
  return takesWorkgroups(target, rows)
    ? dispatch("softmaxWorkgroup", rows, operands, workgroups(64 * rows.rows))
    : dispatch("softmax", rows, operands, workgroups(rows.rows));
}

function softmaxRowsGrad(target: Target, rows: Rows, operands: readonly number[]): Dispatch {
  return takesWorkgroups(target, rows)
    ? dispatch("softmaxGradWorkgroup", rows, operands, workgroups(64 * rows.rows))
    : dispatch("softmaxGrad", rows, operands, workgroups(rows.rows));
}

/** Whether the values of a row are enough for a workgroup of a GPU. */
function takesWorkgroups({ cpu }: Target, { C }: Rows): boolean {
  return !cpu && C >= 64;
}

/**
 * Multi-head self-attention, softmax(Q Kᵀ / √D + B) V (arXiv:1706.03762), between the linear layers that
 * make `qkv` and mix the heads.
 *
 * On a GPU no scores and weights are stored, they are computed again for the gradient
 * (arXiv:2205.14135). A CPU adapter is faster by products over maps of all scores; it takes a chunk
 * of samples and heads at a time, and keeps the weights for the gradient if they are all in one. So does
 * every adapter where scores have a bias, whose gradient is a sum over the scores'.
 *
 * @param qkv `[N, L, 3 · heads · D]`, ordered as in timm: query, key, value, each head by head.
 * @param heads Number of heads.
 * @param bias B, of the scores, as terms that are small; zero unless given.
 * @returns `[N, L, heads · D]`.
 * @throws {RangeError} If the heads do not divide the width, or the bias is of other sizes.
 */
export function attention(qkv: Tensor, heads: number, bias?: ScoreBias): Tensor {
  const [n, L, triple] = qkv.shape;
  const D = triple / 3 / heads;
  if (qkv.shape.length !== 3 || !Number.isInteger(D)) {
    throw new RangeError(`Cannot split qkv [${qkv.shape}] into 3 × ${heads} heads`);
  }
  const sizes = { n, L, heads, D, scale: 1 / Math.sqrt(D) };
  if (bias) checkBias(bias, sizes);
  const chunks = chunksOf(sizes);
  const map = scratch([chunks[0].samples, chunks[0].heads, L, filledUp(L)]);
  const terms = termsOf(bias).map((term) => bias![term]!);
  const [y] = applyAll({
    name: "attention",
    key: `attention:${qkv.shape}:${heads}${biasKey(bias)}`,
    // The result; largest score and inverse sum of each query; weights; scores, gone with the op.
    outputs: [{ shape: [n, L, heads * D], dtype: "f32" }, scratch([n, heads, L, 2]), map, map],
    flops: n * heads * L * L * (2 * 2 * D + SOFTMAX) + biasFlops(bias, sizes), // two products
    activation: "follows",
    lowering: {
      kind: "kernel",
      dispatches: (target) => {
        const [qkv, first] = [0, 1]; // first of the terms
        const [y, moments, weights, scores] = [0, 1, 2, 3].map((i) => first + terms.length + i);
        if (streams(target, sizes, bias)) {
          return [dispatch("attention", tiling(sizes), [qkv, y, moments], tiles(sizes))];
        }
        return chunks.flatMap((chunk) => {
          const at = layouts(sizes, chunk);
          const product = productOf(target, chunk);
          return [
            ...weighing(target, sizes, chunk, bias, { qkv, first, scores, weights }),
            product(at.sizes.mix, [weights, at.map], [qkv, at.v], [y, at.y]),
          ];
        });
      },
    },
    vjp: ([dy], [qkv, ...terms], [y, moments, weights]) =>
      attentionGrad(sizes, bias, [dy!, qkv, y, moments, ...terms], kept(chunks, weights)),
  }, [qkv, ...terms]);
  return y;
}

/** The weights, if they are all there. */
function kept(chunks: readonly Chunk[], weights: Tensor): Tensor[] {
  return chunks.length === 1 ? [weights] : [];
}

/** Gradients of attention with respect to qkv and each term of the bias. */
function attentionGrad(
  sizes: Sizes,
  bias: ScoreBias | undefined,
  inputs: readonly Tensor[], // dy, qkv, y, moments, terms
  kept: readonly Tensor[],
): readonly Tensor[] {
  const { n, L, heads, D } = sizes;
  const { shape } = inputs[1];
  const chunks = chunksOf(sizes);
  const map = scratch([chunks[0].samples, chunks[0].heads, L, filledUp(L)]);
  const own = kept.length > 0 ? [] : [map];
  const learnt = termsOf(bias).filter((term) => term !== "regions");
  const gradients = learnt.map((term): Aval => ({ shape: bias![term]!.shape, dtype: "f32" }));
  const count = inputs.length + kept.length;
  const outputs = applyAll({
    name: "attention_grad",
    key: `attention_grad:${shape}:${heads}${biasKey(bias)}`,
    // The results; what else there is goes with the op: the mean gradient of each query's weights, the
    // gradients of weights and scores, weights that were not kept.
    outputs: [{ shape, dtype: "f32" }, ...gradients, scratch([n, heads, L]), map, map, ...own],
    // Four products, besides that of scores made again.
    flops: n * heads * L * L * (4 * 2 * D + SOFTMAX_GRAD) + biasFlops(bias, sizes),
    activation: "follows",
    lowering: {
      kind: "kernel",
      dispatches: (target) => {
        const [dy, qkv, y, moments, first] = [0, 1, 2, 3, 4];
        const dqkv = count;
        const [means, dWeights, dScores] = [1, 2, 3].map((i) => count + learnt.length + i);
        const weights = kept.length > 0 ? inputs.length : dScores + 1;
        if (streams(target, sizes, bias)) {
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
          const again = () => weighing(target, sizes, chunk, bias, { qkv, first, scores, weights });
          return [
            ...kept.length > 0 ? [] : again(),
            product(at.sizes.dots, [dy, at.y], [qkv, flipped(at.v)], [dWeights, at.map]),
            softmaxRowsGrad(target, at.rows, [dWeights, weights, dScores]),
            product(at.sizes.scaledMix, [dScores, at.map], [qkv, at.k], [dqkv, at.q]),
            product(at.sizes.scaledMix, [dScores, flipped(at.map)], [qkv, at.q], [dqkv, at.k]),
            product(at.sizes.mix, [weights, flipped(at.map)], [dy, at.y], [dqkv, at.v]),
            ...learnt.map((term, i) =>
              termGradient(term, bias!, sizes, chunk, [dScores, dqkv + 1 + i])
            ),
          ];
        });
      },
    },
  }, [...inputs, ...kept]);
  return outputs.slice(0, 1 + learnt.length);
}

/** What of a bias, besides its tensors, an op depends on. */
function biasKey(bias: ScoreBias | undefined): string {
  return bias ? `:${termsOf(bias)}:${bias.grid}` : "";
}

/**
 * What only kernels of attention read. As bits, since a search for values that are not finite must
 * not look at what an adapter leaves unwritten.
 */
function scratch(shape: Shape): Aval {
  return { shape, dtype: "u32" };
}

/** Whether an adapter takes the kernels that store no scores; they hold heads of 128 at most, no biases. */
function streams(target: Target, { D }: Sizes, bias: ScoreBias | undefined): boolean {
  return !target.cpu && D <= 128 && !bias;
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

/** The weights of a chunk, by way of its scores. */
function weighing(
  target: Target,
  sizes: Sizes,
  chunk: Chunk,
  bias: ScoreBias | undefined,
  { qkv, first, scores, weights }: Readonly<
    Record<"qkv" | "first" | "scores" | "weights", number>
  >,
): Dispatch[] {
  const at = layouts(sizes, chunk);
  return [
    productOf(target, chunk)(
      at.sizes.scores,
      [qkv, at.q],
      [qkv, flipped(at.k)],
      [scores, at.map],
    ),
    ...termsOf(bias).map((term, i) => addTerm(term, bias!, sizes, chunk, [first + i, scores])),
    softmaxRows(target, at.rows, [scores, weights]),
  ];
}
