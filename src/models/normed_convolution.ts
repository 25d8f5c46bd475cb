/**
 * A convolution with a bias or a norm, by detectron2's names. Maps are `[N, H, W, C]`.
 *
 * @module
 */
import { type Affine, constant, type Initializer, initNorm } from "../init.ts";
import { convolution, type ConvolutionOptions } from "../ops/convolution.ts";
import { layerNorm } from "../ops/layer_norm.ts";
import type { Shape, Tensor } from "../tensor.ts";
import { type BatchNormParams, initBatchNorm, type Normalise } from "./batch_norm.ts";

/** eps of a LayerNorm over the channels of a map. */
const CHANNEL_EPS = 1e-6;

/** How maps are normalised: not at all, by BatchNorm, or each cell over its channels. */
export type NormKind = "none" | "BN" | "LN";

export type NormedConvolution = {
  readonly weight: Tensor;
  readonly bias?: Tensor;
  readonly norm?: BatchNormParams | Affine;
};

/** Gives a convolution `weight` `[outputs, …]` a bias, or a norm that changes nothing yet. */
export function withNorm(weight: Tensor, kind: NormKind): NormedConvolution {
  const [width] = weight.shape;
  if (kind === "none") return { weight, bias: constant([width], 0) };
  return { weight, norm: kind === "BN" ? initBatchNorm(width) : initNorm(width) };
}

/** Convolution and norm; `normalise` is for BatchNorms. */
export function normedConvolution(
  x: Tensor,
  { weight, bias, norm }: NormedConvolution,
  normalise: Normalise,
  options: ConvolutionOptions = {},
): Tensor {
  const y = convolution(x, weight, bias, options);
  if (!norm) return y;
  return "running_mean" in norm
    ? normalise(y, norm)
    : layerNorm(y, norm.weight, norm.bias, CHANNEL_EPS);
}

/** He's normal draw for a ReLU, over the fan out: detectron2's `c2_msra_fill`. */
export function drawMsra(draw: Initializer, shape: Shape): Tensor {
  const [outputs, , ...kernel] = shape;
  const fan = kernel.reduce((product, side) => product * side, outputs);
  return draw.normal(shape, Math.sqrt(2 / fan));
}

/** A uniform draw over the fan in: detectron2's `c2_xavier_fill`. */
export function drawXavier(draw: Initializer, shape: Shape): Tensor {
  const [, ...fan] = shape;
  return draw.uniform(shape, Math.sqrt(3 / fan.reduce((product, side) => product * side)));
}
