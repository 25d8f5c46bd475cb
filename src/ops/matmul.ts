/**
 * Matrix products.
 *
 * @module
 */
import type { KernelName } from "../../kernels/mod.ts";
import { apply, choose, type Dispatch, dispatch, type Target } from "../op.ts";
import { sameShape, type Shape, sizeOf, type Tensor } from "../tensor.ts";
import { add } from "./map.ts";
import { sum } from "./reduce.ts";
import { reshape, slice } from "./shape.ts";

/** Where the matrices of an operand lie, in elements. */
export interface Layout {
  readonly transpose?: boolean;
  readonly offset: number;
  /** Strides from one matrix to the next along the two batch axes, and from row to row. */
  readonly outer: number;
  readonly inner: number;
  readonly row: number;
  /** Whether rows are filled up to fours: with zeros where they are read, with anything otherwise. */
  readonly filled?: boolean;
}

/** c [outer, inner, M, N] = scale · a [outer, inner, M, K] · b [outer, inner, K, N]. */
export interface Product {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly outer: number;
  readonly inner: number;
  readonly scale: number;
  readonly a: Layout;
  readonly b: Layout;
  readonly c: Layout;
}

type Operands = readonly [a: number, b: number, c: number];

/** The launch of a product, with the variant that suits the adapter and the shape. */
export function productDispatch(target: Target, product: Product, operands: Operands): Dispatch {
  const { M, N, K, outer, inner, a, b } = product;
  const layout = `${a.transpose ? "T" : "N"}${b.transpose ? "T" : "N"}`;
  const rows = fitsFours(product) ? " in fours" : "";
  const key = `product ${M} × ${N} × ${K} × ${outer * inner} ${layout}${rows}`;
  return choose(target, key, productVariants(target, product, operands));
}

/** Workgroups that keep a GPU busy. */
const BUSY = 256;

/** The launches of a product that may be fastest, the best guess first; one on CPU adapters. */
export function productVariants(
  target: Target,
  product: Product,
  operands: Operands,
): readonly [Dispatch, ...Dispatch[]] {
  const { M, N } = product;
  const batch = product.outer * product.inner;
  const tiles = (rows: number, cols = rows) =>
    [Math.ceil(N / cols), Math.ceil(M / rows), batch] as const;
  const fours = fitsFours(product);
  const launch = (kernel: ProductKernel, groups: Dispatch["workgroups"], unit: 1 | 4) =>
    dispatch(kernel, constantsOf(product, unit), operands, groups);

  const small = launch("matmul", tiles(32), 1);
  if (target.cpu) {
    if (!target.broadcast || !fours) return [small];
    // The one whose tiles reach less far beyond the result.
    const [wide, narrow] = [tiles(16, 64), tiles(64, 16)];
    return [
      sizeOf(narrow) < sizeOf(wide)
        ? launch("matmulBroadcastNarrow", narrow, 4)
        : launch("matmulBroadcast", wide, 4),
    ];
  }
  if (M < 16 || N < 16) return [small];
  const tile = fours ? launch("matmulTileFours", tiles(64), 4) : launch("matmulTile", tiles(64), 1);
  if (sizeOf(tiles(64)) < BUSY / 4) return [tile, small];
  if (!fours || M <= 64 || N <= 64) return [tile];
  const large = launch("matmulTileLarge", tiles(128), 4);
  return sizeOf(tiles(128)) < BUSY ? [tile, large] : [large, tile];
}

type ProductKernel = Extract<KernelName, `matmul${string}`>;

/** Constants of a kernel whose offsets and strides count `unit` elements. */
function constantsOf({ M, N, K, inner, scale, a, b, c }: Product, unit: 1 | 4) {
  return {
    ...{ M, N, K, inner, scale },
    ...{ transposeA: a.transpose ?? false, offsetA: a.offset / unit, rowA: a.row / unit },
    ...{ outerA: a.outer / unit, innerA: a.inner / unit },
    ...{ transposeB: b.transpose ?? false, offsetB: b.offset / unit, rowB: b.row / unit },
    ...{ outerB: b.outer / unit, innerB: b.inner / unit },
    ...{ offsetC: c.offset / unit, rowC: c.row / unit },
    ...{ outerC: c.outer / unit, innerC: c.inner / unit },
  };
}

/** Whether every row that is read or written along its length divides into fours. */
function fitsFours({ M, N, K, a, b, c }: Product): boolean {
  const strides = [a, b, c].flatMap(({ offset, outer, inner, row }) => [offset, outer, inner, row]);
  const lengths = [
    a.filled ? 4 : a.transpose ? M : K,
    b.transpose ? K : N,
    c.filled ? 4 : N,
  ];
  return [...strides, ...lengths].every((value) => value % 4 === 0);
}

/**
 * Batched matrix product.
 *
 * @param a `[…, M, K]`, or `[…, K, M]` with `transposeA`.
 * @param b `[…, K, N]`, or `[…, N, K]` with `transposeB`.
 * @returns `[…, M, N]`.
 * @throws {RangeError} If the inner sizes or the batch axes differ.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { matmul, openDevice, read, tensor } from "@mcmae/mcmae";
 *
 * const a = tensor([1, 2, 3, 4], [2, 2]);
 * const b = tensor([5, 6], [1, 2]);
 * const product = matmul(a, b, { transposeB: true }); // [2, 1]
 * assert.deepEqual([...await read(await openDevice(), product)], [17, 39]);
 * ```
 */
export function matmul(
  a: Tensor,
  b: Tensor,
  { transposeA = false, transposeB = false }: { transposeA?: boolean; transposeB?: boolean } = {},
): Tensor {
  const batch = a.shape.slice(0, -2);
  const [M, K] = matrix(a.shape, transposeA);
  const [innerK, N] = matrix(b.shape, transposeB);
  if (a.shape.length < 2 || K !== innerK || !sameShape(batch, b.shape.slice(0, -2))) {
    throw new RangeError(
      `Cannot multiply [${a.shape}]${transposeA ? "ᵀ" : ""} by [${b.shape}]${
        transposeB ? "ᵀ" : ""
      }`,
    );
  }
  const shape = [...batch, M, N];
  const outer = sizeOf(batch);
  const at = (transpose: boolean, rows: number, cols: number): Layout => ({
    transpose,
    offset: 0,
    outer: rows * cols,
    inner: 0,
    row: transpose ? rows : cols,
  });
  const product: Product = {
    ...{ M, N, K, outer, inner: 1, scale: 1 },
    ...{ a: at(transposeA, M, K), b: at(transposeB, K, N), c: at(false, M, N) },
  };
  return apply({
    name: "matmul",
    key: `matmul:${a.shape}:${b.shape}:${transposeA}:${transposeB}`,
    outputs: [{ shape, dtype: "f32" }],
    flops: 2 * outer * M * N * K,
    activation: transposeA ? undefined : "follows", // transposed it is a part of a weight's gradient
    lowering: {
      kind: "kernel",
      dispatches: (target) => [productDispatch(target, product, [0, 1, 2])],
      epilogue: true,
    },
    vjp: ([dy]) => [
      transposeA
        ? matmul(b, dy!, { transposeA: transposeB, transposeB: true })
        : matmul(dy!, b, { transposeB: !transposeB }),
      transposeB
        ? matmul(dy!, a, { transposeA: true, transposeB: transposeA })
        : matmul(a, dy!, { transposeA: !transposeA }),
    ],
  }, [a, b]);
}

function matrix(shape: Shape, transpose: boolean): [rows: number, cols: number] {
  const [rows, cols] = shape.slice(-2);
  return transpose ? [cols, rows] : [rows, cols];
}

/**
 * Linear layer, y = x Wᵀ + b, weights as PyTorch stores them.
 *
 * @param x `[…, I]`.
 * @param weight `[O, I]`; further axes of size 1 (a 1×1 convolution's) are ignored.
 * @param bias `[O]`.
 * @returns `[…, O]`.
 * @throws {RangeError} If the sizes differ.
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  const [O] = weight.shape;
  const I = sizeOf(weight.shape) / O;
  const rows = sizeOf(x.shape) / x.shape.at(-1)!;
  if (x.shape.at(-1) !== I) {
    throw new RangeError(`Cannot multiply [${x.shape}] by weights [${weight.shape}]`);
  }
  const y = rowProduct(reshape(x, [rows, I]), reshape(weight, [O, I]));
  const shaped = reshape(y, [...x.shape.slice(0, -1), O]);
  return bias ? add(shaped, bias) : shaped;
}

/**
 * x [R, I] · Wᵀ, W [O, I], whose weight gradient adds over many rows. Where x and W are read in
 * fours, rows of the result are filled up to fours: a head of ten classes has twelve columns, until
 * they are cut off.
 */
function rowProduct(x: Tensor, weight: Tensor): Tensor {
  const [R, I] = x.shape;
  const [O] = weight.shape;
  const columns = I % 4 === 0 ? 4 * Math.ceil(O / 4) : O;
  const product: Product = {
    ...{ M: R, N: O, K: I, outer: 1, inner: 1, scale: 1 },
    a: { offset: 0, outer: 0, inner: 0, row: I },
    b: { transpose: true, offset: 0, outer: 0, inner: 0, row: I },
    c: { offset: 0, outer: 0, inner: 0, row: columns, filled: true },
  };
  const cut = (y: Tensor, axis: number) => columns === O ? y : slice(y, axis, 0, O);
  const y = apply({
    name: "linear",
    key: `linear:${x.shape}:${weight.shape}`,
    outputs: [{ shape: [R, columns], dtype: "f32" }],
    flops: 2 * R * O * I,
    activation: "always",
    lowering: {
      kind: "kernel",
      dispatches: (target) => [productDispatch(target, product, [0, 1, 2])],
      epilogue: true,
    },
    vjp: ([dy]) => {
      const parts = splits(R, O, I);
      const partial = matmul(
        reshape(dy!, [parts, R / parts, columns]),
        reshape(x, [parts, R / parts, I]),
        { transposeA: true },
      );
      return [matmul(cut(dy!, 1), weight), cut(sum(partial, [0]), 0)];
    },
  }, [x, weight]);
  return cut(y, 1);
}

/**
 * Parts in which a weight gradient's long sum is taken, for precision, and for enough workgroups where
 * the result is small: a divisor of the rows. It depends on nothing but the shape.
 */
export function splits(rows: number, O: number, I: number): number {
  const tiles = Math.ceil(O / 64) * Math.ceil(I / 64);
  const precise = Math.min(16, rows / 512);
  const busy = Math.min(BUSY / tiles, rows / 256);
  for (let parts = Math.floor(Math.max(precise, busy)); parts > 1; parts--) {
    if (rows % parts === 0) return parts;
  }
  return 1;
}
