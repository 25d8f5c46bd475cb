/**
 * Attention in parts: which samples and heads have their maps of scores in memory together, and where
 * the operands of their products lie.
 *
 * @module
 */
import type { Dispatch, Target } from "../op.ts";
import { type Layout, productDispatch } from "./matmul.ts";

/** Elements of attention's maps that are in memory at a time: 16 MiB, about what a CPU's cache holds. */
const CHUNK = 4 * 2 ** 20;

/** Sizes of an attention. */
export interface Sizes {
  readonly n: number;
  readonly L: number;
  readonly heads: number;
  readonly D: number;
  readonly scale: number;
}

/** Samples and heads whose maps are in memory together. */
export interface Chunk {
  readonly sample: number; // the first
  readonly samples: number;
  readonly head: number;
  readonly heads: number;
}

/** Whole samples; or, where one has too many scores, as many heads as fit, at least one. */
export function chunksOf({ n, L, heads }: Sizes): Chunk[] {
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

/** Length of a map's rows: a multiple of four, so that any number of tokens suits the fast products. */
export function filledUp(L: number): number {
  return 4 * Math.ceil(L / 4);
}

/** Where queries, keys, values, results and the maps [L, filledUp(L)] of a chunk lie. */
export function layouts({ L, heads, D, scale }: Sizes, chunk: Chunk) {
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

export function flipped(layout: Layout): Layout {
  return { ...layout, transpose: true };
}

type Placed = readonly [operand: number, layout: Layout];

/** Products over every sample and head of a chunk. */
export function productOf(target: Target, { samples, heads }: Chunk) {
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
