/**
 * Maps to patches and back. Maps are `[N, H, W, C]`; a patch is (row, column, channel), channel
 * fastest, as MAE orders it. Clips are `[N, T, H, W, C]`, and cubes (frame, row, column, channel).
 *
 * @module
 */
import { type Affine, constant } from "../init.ts";
import { gather } from "../ops/gather.ts";
import { broadcastTo } from "../ops/map.ts";
import { layerNorm } from "../ops/layer_norm.ts";
import { linear } from "../ops/matmul.ts";
import { permute, reshape } from "../ops/shape.ts";
import { type Shape, sizeOf, type Tensor } from "../tensor.ts";

/**
 * Cuts maps into squares.
 *
 * @param x `[N, H, W, C]`.
 * @returns `[N, H/size, W/size, size · size · C]`.
 * @throws {RangeError} If the size does not divide H and W.
 */
export function patchify(x: Tensor, size: number): Tensor {
  const [n, H, W, C] = x.shape;
  if (H % size !== 0 || W % size !== 0) {
    throw new RangeError(`Cannot cut ${H} × ${W} into patches of ${size}`);
  }
  const shape = [n, H / size, W / size, size * size * C];
  if (size === 1) return reshape(x, shape);
  const split = reshape(x, [n, H / size, size, W / size, size * C]);
  return reshape(permute(split, [0, 1, 3, 2, 4]), shape);
}

/**
 * Joins patches into maps, the inverse of `patchify`.
 *
 * @param x `[N, GH, GW, size · size · C]`.
 * @returns `[N, GH · size, GW · size, C]`.
 */
export function unpatchify(x: Tensor, size: number): Tensor {
  const [n, GH, GW, width] = x.shape;
  const C = width / (size * size);
  const split = reshape(x, [n, GH, GW, size, size * C]);
  return reshape(permute(split, [0, 1, 3, 2, 4]), [n, GH * size, GW * size, C]);
}

/**
 * Cuts clips into cubes.
 *
 * @param x `[N, T, H, W, C]`.
 * @returns `[N, T/frames, H/size, W/size, frames · size · size · C]`.
 * @throws {RangeError} If the sizes do not divide T, H and W.
 */
export function cubify(x: Tensor, frames: number, size: number): Tensor {
  const [n, T, H, W, C] = x.shape;
  if (T % frames !== 0 || H % size !== 0 || W % size !== 0) {
    throw new RangeError(
      `Cannot cut ${T} × ${H} × ${W} into cubes of ${frames} × ${size} × ${size}`,
    );
  }
  const shape = [n, T / frames, H / size, W / size, frames * size * size * C];
  if (frames === 1 && size === 1) return reshape(x, shape);
  const split = reshape(x, [n * T / frames, frames, H / size, size, W / size, size * C]);
  return reshape(permute(split, [0, 2, 4, 1, 3, 5]), shape);
}

/** Cuts maps into squares of `[size, size]`, or clips into cubes of `[frames, size, size]`. */
export function cut(x: Tensor, sizes: Shape): Tensor {
  return sizes.length === 2 ? patchify(x, sizes[0]) : cubify(x, sizes[0], sizes[1]);
}

/** How an input is cut into the tokens of its transformer. */
export interface TokenGrid {
  /** Tokens along each axis: `[GH, GW]` of an image, `[S, GH, GW]` of a clip in S time slots. */
  readonly grid: readonly [GH: number, GW: number] | readonly [S: number, GH: number, GW: number];
  /** Pixels along each axis of a token: `[size, size]`, or `[frames, size, size]`. */
  readonly sizes: Shape;
}

/** Indices of visible tokens `[N, V]`, and their inverse `[N, L]`. */
type Kept = { readonly keep: Tensor; readonly restore: Tensor };

/**
 * The pixels of visible tokens, each token as an input of its own.
 *
 * @param x `[N, H, W, C]`, or clips `[N, T, H, W, C]`.
 * @returns `[N · V, size, size, C]`, or `[N · V, frames, size, size, C]`.
 */
export function visiblePixels(x: Tensor, sizes: Shape, { keep, restore }: Kept): Tensor {
  const [n, L] = restore.shape;
  const C = x.shape.at(-1)!;
  const all = reshape(cut(x, sizes), [n, L, sizeOf(sizes) * C]);
  return reshape(gather(all, keep, restore), [sizeOf(keep.shape), ...sizes, C]);
}

/** Rows of a position table `[1, L, C]` for the visible tokens, `[N, V, C]`. */
export function visiblePositions(table: Tensor, { keep, restore }: Kept): Tensor {
  const places = broadcastTo(table, [keep.shape[0], ...table.shape.slice(1)]);
  return gather(places, keep, restore);
}

/**
 * A convolution whose stride is its size: patches times weights.
 *
 * @param x `[N, H, W, C]`, or clips `[N, T, H, W, C]`.
 * @param layer Weight `[O, C, size, size]`, or `[O, C, frames, size, size]`; bias `[O]`.
 * @returns `[N, H/size, W/size, O]`, or `[N, T/frames, H/size, W/size, O]`.
 */
export function stridedConvolution(x: Tensor, { weight, bias }: Affine): Tensor {
  const [O, C, ...sizes] = weight.shape;
  // Weights are (channel, row, column), patches (row, column, channel); of clips the frame comes first.
  const order = [0, ...sizes.map((_, axis) => axis + 2), 1];
  const rows = reshape(permute(weight, order), [O, sizeOf(sizes) * C]);
  return linear(cut(x, sizes), rows, bias);
}

/**
 * Targets normalised patch by patch: mean 0, unbiased variance 1 (`norm_pix_loss`, eps 1e-6).
 *
 * @param patches `[N, L, P]`.
 */
export function normalisePatches(patches: Tensor): Tensor {
  const P = patches.shape.at(-1)!;
  // (x − μ) / √(σ²·P/(P−1) + eps), by a LayerNorm, whose variance is the biased one.
  const shrink = (P - 1) / P;
  return layerNorm(patches, constant([P], Math.sqrt(shrink)), constant([P], 0), 1e-6 * shrink);
}

/** Number of patches along both sides of an image. */
export function gridOf([height, width]: Shape, stride: number): [GH: number, GW: number] {
  return [height / stride, width / stride];
}
