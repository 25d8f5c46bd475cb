/**
 * Clips as VideoMAE sees them (arXiv:2203.12602), for both video models: cubes of pixels in a grid of
 * time slots, rows and columns, the table of their positions, and the target.
 *
 * @module
 */
import { add, div, mul, sqrt, square, sub } from "../ops/map.ts";
import { mean, sum } from "../ops/reduce.ts";
import { reshape } from "../ops/shape.ts";
import { sinusoid } from "../pos_embed.ts";
import { type Tensor, tensor } from "../tensor.ts";
import { type AutoencoderSettings, maskedError, type MaskedImages } from "./decoder.ts";
import { cubify, gridOf, type TokenGrid } from "./patches.ts";

/** What clips add to the settings of an autoencoder. `normPix` is per cube and colour channel. */
export interface ClipSettings extends AutoencoderSettings {
  /** Frames of a clip, T. */
  readonly frames: number;
  /** Frames of a token: S = T / tubelet time slots. */
  readonly tubelet: number;
  /** Of each channel: clips come normalised by them, targets are made of the pixels before. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** `tube`: a cell is removed in all time slots or in none. The masks are the data's. */
  readonly masking: "tube" | "random";
}

/** Time slots, rows and columns of tokens whose side is `stride`, and the pixels of one. */
export function clipGrid(
  { frames, tubelet, imageSize }: Pick<ClipSettings, "frames" | "tubelet" | "imageSize">,
  stride: number,
): TokenGrid & { readonly grid: readonly [S: number, GH: number, GW: number] } {
  return {
    grid: [frames / tubelet, ...gridOf(imageSize, stride)],
    sizes: [tubelet, stride, stride],
  };
}

/** VideoMAE's frozen sinusoid table `[1, L, width]`: one index runs over slots, rows and columns. */
export function clipPositions(L: number, width: number): Tensor {
  return tensor(sinusoid(L, width), [1, L, width]);
}

/**
 * What is to be predicted: the pixels before normalisation, cube by cube.
 *
 * With `normPix` each colour channel of a cube gets mean 0 and variance 1: (x − μ) / (σ + 1e-6), σ² the
 * unbiased variance. MAE and MCMAE take all channels together, and eps under the root.
 *
 * @param clips Normalised, `[N, T, H, W, C]`.
 * @param size Side of a cube.
 * @returns `[N, L, tubelet · size · size · C]`, channel fastest.
 */
export function cubeTarget(
  clips: Tensor,
  { tubelet, channels, mean: means, std, normPix }: Pick<
    ClipSettings,
    "tubelet" | "channels" | "mean" | "std" | "normPix"
  >,
  size: number,
): Tensor {
  const scaled = mul(clips, tensor(std));
  // Normalising takes any mean away again, and rounds less without one.
  const pixels = normPix ? scaled : add(scaled, tensor(means));
  const cubes = cubify(pixels, tubelet, size);
  const [n, S, GH, GW, P] = cubes.shape;
  const shape = [n, S * GH * GW, P];
  if (!normPix) return reshape(cubes, shape);
  const places = P / channels;
  const byChannel = reshape(cubes, [n, S * GH * GW, places, channels]);
  // In two passes: a cube may have far less contrast than brightness.
  const centred = sub(byChannel, mean(byChannel, [2], true));
  const variance = mul(sum(square(centred), [2], true), 1 / (places - 1));
  return reshape(div(centred, add(sqrt(variance), 1e-6)), shape);
}

/**
 * Mean squared error on removed cubes.
 *
 * @param predicted `[N, L, tubelet · size · size · C]`.
 * @returns One value.
 */
export function cubeLoss(
  predicted: Tensor,
  { images, removed }: Pick<MaskedImages, "images" | "removed">,
  settings: ClipSettings,
  size: number,
): Tensor {
  return maskedError(predicted, cubeTarget(images, settings, size), removed);
}
