/**
 * What attention's scores get for the places of query and key in a grid. A map of all biases is never
 * made: each chunk of scores reads them from small tensors, and their gradients are sums over a chunk.
 *
 * @module
 */
import { type Dispatch, dispatch, workgroups } from "../op.ts";
import { sameShape, type Shape, sizeOf, type Tensor } from "../tensor.ts";
import { type Chunk, filledUp, type Sizes } from "./attention_chunks.ts";

/** Biases of the scores between tokens of a grid; they add up. */
export interface ScoreBias {
  /** H and W of the grid that the L tokens fill row by row. */
  readonly grid: readonly [height: number, width: number];
  /**
   * By how far the query (h, w) lies from the key (i, j): row (h − i + H − 1) · (2W − 1) + w − j + W − 1
   * of a table `[(2H − 1) · (2W − 1), heads]` (arXiv:2103.14030).
   */
  readonly table?: Tensor;
  /** By the query and the row of the key, `[N, heads, L, H]`. */
  readonly rows?: Tensor;
  /** By the query and the column of the key, `[N, heads, L, W]`. */
  readonly columns?: Tensor;
  /**
   * Regions of the tokens, `[M, L]`, u32: a query gives keys of other regions no weight. Sample n has
   * row n % M. No gradient.
   */
  readonly regions?: Tensor;
}

/** One of the tensors of a bias. */
type Term = "table" | "rows" | "columns" | "regions";

const TERMS: readonly Term[] = ["table", "rows", "columns", "regions"];

/** The terms that a bias has, in the order in which an op takes them. */
export function termsOf(bias: ScoreBias | undefined): Term[] {
  return TERMS.filter((term) => bias?.[term]);
}

/** @throws {RangeError} If the grid has not L cells, or a tensor is of other sizes. */
export function checkBias(bias: ScoreBias, { n, L, heads }: Sizes): void {
  const [H, W] = bias.grid;
  if (H * W !== L) {
    throw new RangeError(`Cannot add biases of a grid of ${H} × ${W} to the scores of ${L} tokens`);
  }
  const shapes: Record<Term, Shape> = {
    table: [(2 * H - 1) * (2 * W - 1), heads],
    rows: [n, heads, L, H],
    columns: [n, heads, L, W],
    regions: [bias.regions?.shape[0] ?? 1, L],
  };
  for (const term of termsOf(bias)) {
    const { shape } = bias[term]!;
    if (!sameShape(shape, shapes[term])) {
      throw new RangeError(
        `Cannot add biases by ${term} [${shape}] to scores [${[
          n,
          heads,
          L,
          L,
        ]}] on a grid of ${H} × ${W}`,
      );
    }
  }
}

/** The launch that adds a term to a chunk's scores. */
export function addTerm(
  term: Term,
  { grid: [H, W], regions }: ScoreBias,
  sizes: Sizes,
  chunk: Chunk,
  operands: readonly [term: number, scores: number],
): Dispatch {
  const { L, heads } = sizes;
  const row = filledUp(L);
  const size = chunk.samples * chunk.heads * L * row;
  if (term === "regions") {
    const constants = { L, row, heads: chunk.heads, first: chunk.sample, M: regions!.shape[0] };
    return dispatch("scoreRegions", { ...constants, size }, operands, workgroups(size));
  }
  const map = (chunk.sample * heads + chunk.head) * L;
  const places = {
    table: {
      offset: ((H - 1) * (2 * W - 1) + W - 1) * heads + chunk.head,
      ...{
        outer: 0,
        inner: 1,
        h: (2 * W - 1) * heads,
        w: heads,
        i: (1 - 2 * W) * heads,
        j: -heads,
      },
    },
    rows: { offset: map * H, outer: heads * L * H, inner: L * H, h: W * H, w: H, i: 1, j: 0 },
    columns: { offset: map * W, outer: heads * L * W, inner: L * W, h: W * W, w: W, i: 0, j: 1 },
  };
  const constants = { H, W, row, heads: chunk.heads, ...places[term], size };
  return dispatch("scoreBias", constants, operands, workgroups(size));
}

/** The launch for a chunk's part of a term's gradient. */
export function termGradient(
  term: Exclude<Term, "regions">,
  { grid: [H, W] }: ScoreBias,
  { L, heads }: Sizes,
  chunk: Chunk,
  operands: readonly [dScores: number, gradient: number],
): Dispatch {
  const row = filledUp(L);
  if (term === "table") {
    return dispatch(
      "relativeBiasGrad",
      {
        ...{ H, W, row, heads, first: chunk.head, abreast: chunk.heads, samples: chunk.samples },
        more: chunk.sample > 0,
      },
      operands,
      [Math.ceil((2 * W - 1) / 16), 2 * H - 1, chunk.heads],
    );
  }
  const across = term === "rows"
    ? { A: H, R: W, apart: W, step: 1 }
    : { A: W, R: H, apart: 1, step: W };
  const size = chunk.samples * chunk.heads * L * across.A;
  const offset = (chunk.sample * heads + chunk.head) * L * across.A;
  return dispatch("scoreSums", { ...across, row, offset, size }, operands, workgroups(size));
}

/** Operations that a bias takes, once. */
export function biasFlops(bias: ScoreBias | undefined, { n, L, heads }: Sizes): number {
  return termsOf(bias).length * sizeOf([n, heads, L, L]);
}
