/**
 * The pre-norm transformer block that MAE, MCMAE and both decoders share (timm's `Block`).
 *
 * @module
 */
import { type Affine, type Initializer, initLinear, initNorm } from "../init.ts";
import { attention } from "../ops/attention.ts";
import { layerNorm } from "../ops/layer_norm.ts";
import { add, gelu, mul } from "../ops/map.ts";
import { linear } from "../ops/matmul.ts";
import type { ScoreBias } from "../ops/score_bias.ts";
import { BINDABLE, concat, partsOf, slice } from "../ops/shape.ts";
import { inBlock } from "../recompute.ts";
import { sizeOf, type Tensor } from "../tensor.ts";

/** eps of every LayerNorm in a transformer, but for segmentation; convolution stages use 1e-5. */
export const TRANSFORMER_EPS = 1e-6;

export type Mlp = {
  readonly fc1: Affine;
  readonly fc2: Affine;
};

export type BlockParams = {
  readonly norm1: Affine;
  readonly attn: {
    readonly qkv: Affine;
    readonly proj: Affine;
    /** `[(2H − 1) · (2W − 1), heads]`; backbones of dense prediction may have it. */
    readonly relative_position_bias_table?: Tensor;
    /** `[2H − 1, D]` and `[2W − 1, D]`, which queries are multiplied with; likewise. */
    readonly rel_pos_h?: Tensor;
    readonly rel_pos_w?: Tensor;
  };
  readonly norm2: Affine;
  readonly mlp: Mlp;
  /** Layer scale of the two branches, `[C]` (arXiv:2103.17239); VideoMAE may have it. */
  readonly gamma_1?: Tensor;
  readonly gamma_2?: Tensor;
};

export function initBlock(draw: Initializer, width: number, mlpRatio: number): BlockParams {
  return {
    norm1: initNorm(width),
    attn: { qkv: initLinear(draw, width, 3 * width), proj: initLinear(draw, width, width) },
    norm2: initNorm(width),
    mlp: {
      fc1: initLinear(draw, width, width * mlpRatio),
      fc2: initLinear(draw, width * mlpRatio, width),
    },
  };
}

/** A layer applied to tokens `[…, C]`. */
export function affine(x: Tensor, { weight, bias }: Affine): Tensor {
  return linear(x, weight, bias);
}

export function norm(x: Tensor, { weight, bias }: Affine, eps: number): Tensor {
  return layerNorm(x, weight, bias, eps);
}

/**
 * The two layers of tokens `[N, …, C]`, in parts along the second axis where one sample's hidden values
 * are more than `mostBytes`: a batch can be made smaller, an image cannot.
 */
export function mlp(x: Tensor, { fc1, fc2 }: Mlp, mostBytes = BINDABLE): Tensor {
  const [hidden, inputs] = fc1.weight.shape;
  const bytes = 4 * sizeOf(x.shape.slice(1)) / inputs * hidden;
  const parts = partsOf(x.shape[1], Math.ceil(bytes / mostBytes)).map(([start, end]) =>
    affine(gelu(affine(slice(x, 1, start, end), fc1)), fc2)
  );
  return concat(parts, 1);
}

/**
 * Self-attention with its two linear layers, `[N, L, C]` → `[N, L, C]`.
 *
 * @param biasOf Of the scores, if they have one, by what attention takes.
 */
export function selfAttention(
  x: Tensor,
  { qkv, proj }: BlockParams["attn"],
  heads: number,
  biasOf: (qkv: Tensor) => ScoreBias | undefined = () => undefined,
): Tensor {
  const all = affine(x, qkv);
  return affine(attention(all, heads, biasOf(all)), proj);
}

/**
 * What becomes of a block's residual branch before it is added: stochastic depth, or nothing. A block
 * has two, and may be computed twice.
 */
export type Branch = (branch: Tensor, which: 0 | 1) => Tensor;

/** What the published code has otherwise for dense prediction. */
export interface BlockOptions {
  /** Of the LayerNorms. */
  readonly eps?: number;
  /** What takes the place of self-attention over all tokens, `[N, L, C]` → `[N, L, C]`. */
  readonly attend?: (x: Tensor, params: BlockParams["attn"]) => Tensor;
}

/** `[N, L, C]` → `[N, L, C]`. */
export function transformerBlock(
  x: Tensor,
  block: BlockParams,
  heads: number,
  branch: Branch = (x) => x,
  { eps = TRANSFORMER_EPS, attend = (x, params) => selfAttention(x, params, heads) }: BlockOptions =
    {},
): Tensor {
  const scale = (x: Tensor, gamma?: Tensor) => gamma ? mul(x, gamma) : x;
  return inBlock(() => {
    const attended = attend(norm(x, block.norm1, eps), block.attn);
    const y = add(x, branch(scale(attended, block.gamma_1), 0));
    const hidden = mlp(norm(y, block.norm2, eps), block.mlp);
    return add(y, branch(scale(hidden, block.gamma_2), 1));
  });
}
