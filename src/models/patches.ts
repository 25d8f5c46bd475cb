/**
 * Maps to patches and back. Maps are `[N, H, W, C]`; a patch is (row, column, channel), channel
 * fastest, as MAE orders it.
 *
 * @module
 */
import { type Affine, constant } from "../init.ts";
import { layerNorm } from "../ops/layer_norm.ts";
import { linear } from "../ops/matmul.ts";
import { permute, reshape } from "../ops/shape.ts";
import type { Shape, Tensor } from "../tensor.ts";

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
 * A convolution whose stride is its size: patches times weights.
 *
 * @param x `[N, H, W, C]`.
 * @param layer Weight `[O, C, size, size]`, bias `[O]`.
 * @returns `[N, H/size, W/size, O]`.
 */
export function stridedConvolution(x: Tensor, { weight, bias }: Affine): Tensor {
  const [O, C, size] = weight.shape;
  // Weights are (channel, row, column), patches (row, column, channel).
  const rows = reshape(permute(weight, [0, 2, 3, 1]), [O, size * size * C]);
  return linear(patchify(x, size), rows, bias);
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
