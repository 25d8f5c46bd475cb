/**
 * MCMAE and its training step in jax-js, dense as the published code is.
 *
 * jax-js counts references: an array is gone once it has been passed on, unless by `.ref`.
 */
import { defaultDevice, jit, lax, nn, numpy as np, tree, valueAndGrad } from "@jax-js/jax";
import type { McmaeParams } from "../../../src/models/mcmae.ts";
import { sizeOf, type Tensor } from "../../../src/tensor.ts";
import { map } from "../../../src/tree.ts";
import { tinySettings as settings, tinyStep } from "./cases.ts";
import type { Training } from "./peer.ts";
import { tinyBatch, tinyParams, TOKENS } from "./tiny.ts";

/** The same tree with arrays of jax-js. */
type Arrays<T> = T extends Tensor ? np.Array : { -readonly [Name in keyof T]: Arrays<T[Name]> };

type Tables = "pos_embed" | "decoder_pos_embed";
type Params = Arrays<Omit<McmaeParams, Tables>>;
type Fixed = Arrays<Pick<McmaeParams, Tables>>;
type Layer = { weight: np.Array; bias: np.Array };
type ConvBlock = Params["blocks1"][number];
type Block = Params["blocks3"][number];

/** One batch; L tokens an image, V of them visible. */
type Batch = {
  /** `[N, H, W, C]`. */
  images: np.Array;
  /** `[N, V]`. */
  keep: np.Array;
  /** `[N, L]`, 1 where a token is removed. */
  removed: np.Array;
};

const STRIDE = settings.patchSizes.reduce((a, b) => a * b);
const GRID = settings.imageSize[0] / STRIDE;

const linear = (x: np.Array, { weight, bias }: Layer) => np.matmul(x, weight.transpose()).add(bias);

const pointwise = (x: np.Array, { weight, bias }: Layer) =>
  linear(x, { weight: weight.reshape(weight.shape.slice(0, 2)), bias });

export const gelu = (x: np.Array) => nn.gelu(x, { approximate: false });

const norm = (x: np.Array, { weight, bias }: Layer, epsilon: number) =>
  nn.standardize(x, -1, { epsilon }).mul(weight).add(bias);

/** `[N, H, W, C]` → `[N, L, size · size · C]`. */
function patchify(x: np.Array, size: number): np.Array {
  const [n, H, W, C] = x.shape;
  return x.reshape([n, H / size, size, W / size, size, C]).transpose([0, 1, 3, 2, 4, 5])
    .reshape([n, H * W / size ** 2, size ** 2 * C]);
}

/** A convolution whose stride is its size: patches times weights, `[N, H, W, C]` → `[N, L, O]`. */
function patchConvolution(x: np.Array, { weight, bias }: Layer): np.Array {
  const [O, C, size] = weight.shape;
  const rows = weight.transpose([0, 2, 3, 1]).reshape([O, size * size * C]);
  return linear(patchify(x, size), { weight: rows, bias });
}

/**
 * Depthwise convolution with a bias, `[N, H, W, C]` → the same.
 *
 * As a convolution of C groups it is the faster on WebGPU, as a sum of shifted maps on WebAssembly.
 */
export function depthwise(x: np.Array, { weight, bias }: Layer): np.Array {
  if (defaultDevice() === "wasm") return sumOfShifted(x, weight).add(bias);
  const featureGroupCount = weight.shape[0];
  const maps = np.moveaxis(x, 3, 1); // convolutions take channels first
  const y = lax.convGeneralDilated(maps, weight, [1, 1], "SAME", { featureGroupCount });
  return np.moveaxis(y, 1, 3).add(bias);
}

function sumOfShifted(x: np.Array, weight: np.Array): np.Array {
  const [, H, W] = x.shape;
  const [C, , size] = weight.shape;
  const margin = (size - 1) / 2;
  const padded = np.pad(x, [[0, 0], [margin, margin], [margin, margin], [0, 0]]);
  const taps = weight.reshape([C, size * size]).transpose();
  const terms = Array.from({ length: size * size }, (_, tap) => {
    const [row, column] = [Math.floor(tap / size), tap % size];
    return padded.ref.slice([], [row, row + H], [column, column + W]).mul(taps.ref.slice(tap));
  });
  padded.dispose();
  taps.dispose();
  return terms.reduce((sum, term) => sum.add(term));
}

function patchEmbed(x: np.Array, layer: { proj: Layer; norm: Layer }): np.Array {
  const size = layer.proj.weight.shape[2];
  const [n, H, W] = x.shape;
  const tokens = gelu(norm(patchConvolution(x, layer.proj), layer.norm, 1e-5));
  return tokens.reshape([n, H / size, W / size, -1]);
}

function convBlock(x: np.Array, block: ConvBlock, mask: np.Array): np.Array {
  const inside = pointwise(norm(x.ref, block.norm1, 1e-5), block.conv1);
  const y = x.add(pointwise(depthwise(inside.mul(mask), block.attn), block.conv2));
  const { fc1, fc2 } = block.mlp;
  return y.ref.add(pointwise(gelu(pointwise(norm(y, block.norm2, 1e-5), fc1)), fc2));
}

function transformerBlock(x: np.Array, block: Block, heads: number): np.Array {
  const [n, L, C] = x.shape;
  const qkv = linear(norm(x.ref, block.norm1, 1e-6), block.attn.qkv)
    .reshape([n, L, 3, heads, C / heads]);
  const [query, key, value] = [0, 1, 2].map((i) => (i < 2 ? qkv.ref : qkv).slice([], [], i));
  const attended = nn.dotProductAttention(query, key, value).reshape([n, L, C]);
  const y = x.add(linear(attended, block.attn.proj));
  const { fc1, fc2 } = block.mlp;
  return y.ref.add(linear(gelu(linear(norm(y, block.norm2, 1e-6), fc1)), fc2));
}

/** 1 at the visible cells of a stage, `[N, H, W, 1]`. */
function cellMask(removed: np.Array, cells: number): np.Array {
  const n = removed.shape[0];
  const visible = np.subtract(1, removed).reshape([n, GRID, 1, GRID, 1]);
  return np.broadcastTo(visible, [n, GRID, cells, GRID, cells])
    .reshape([n, GRID * cells, GRID * cells, 1]);
}

/**
 * Visible tokens' latents, `[N, V, C]`.
 *
 * @param chosen One-hot rows `[N, V, L]`: a product picks tokens, since the gradient of jax-js's own
 *   gather is a shader that Deno's WebGPU refuses (a pointer to an atomic as an argument).
 */
function encode(
  params: Params,
  positions: np.Array,
  images: np.Array,
  removed: np.Array,
  chosen: np.Array,
): np.Array {
  const [, p2, p3] = settings.patchSizes;
  const n = images.shape[0];
  const mask1 = cellMask(removed.ref, p2 * p3);
  const mask2 = cellMask(removed, p3);
  const e1 = params.blocks1.reduce(
    (x, block) => convBlock(x, block, mask1.ref),
    patchEmbed(images, params.patch_embed1),
  );
  mask1.dispose();
  const e2 = params.blocks2.reduce(
    (x, block) => convBlock(x, block, mask2.ref),
    patchEmbed(e1.ref, params.patch_embed2),
  );
  mask2.dispose();
  const scale1 = np.matmul(chosen.ref, patchConvolution(e1, params.stage1_output_decode!));
  const scale2 = np.matmul(chosen.ref, patchConvolution(e2.ref, params.stage2_output_decode!));
  const embedded = patchEmbed(e2, params.patch_embed3).reshape([n, TOKENS, -1]);
  const tokens = np.matmul(chosen, linear(embedded, params.patch_embed4).add(positions));
  const e3 = params.blocks3.reduce(
    (x, block) => transformerBlock(x, block, settings.heads),
    tokens,
  );
  return norm(e3.add(scale1).add(scale2), params.norm, 1e-6);
}

/** Every patch, `[N, L, P]`. */
function decode(
  params: Params,
  positions: np.Array,
  latent: np.Array,
  removed: np.Array,
  chosen: np.Array,
): np.Array {
  const embedded = linear(latent, params.decoder_embed);
  const placed = np.matmul(chosen.transpose([0, 2, 1]), embedded);
  const filled = placed.add(np.expandDims(removed, 2).mul(params.mask_token));
  const decoded = params.decoder_blocks.reduce(
    (x, block) => transformerBlock(x, block, settings.decoderHeads),
    filled.add(positions),
  );
  return linear(norm(decoded, params.decoder_norm, 1e-6), params.decoder_pred);
}

/** Mean squared error on removed patches, whose pixels are normalised. */
function lossOf(params: Params, fixed: Fixed, batch: Batch): np.Array {
  const { images, keep, removed } = batch;
  const chosen = nn.oneHot(keep, TOKENS);
  const latent = encode(params, fixed.pos_embed, images.ref, removed.ref, chosen.ref);
  const predicted = decode(params, fixed.decoder_pos_embed, latent, removed.ref, chosen);
  const patches = patchify(images, STRIDE);
  const P = patches.shape[2];
  const mean = patches.ref.mean(2, { keepdims: true });
  const centred = patches.sub(mean);
  const variance = np.square(centred.ref).sum(2, { keepdims: true }).div(P - 1);
  const target = centred.div(np.sqrt(variance.add(1e-6)));
  const perPatch = np.square(predicted.sub(target)).mean(2);
  return perPatch.mul(removed.ref).sum().div(removed.sum());
}

type Moments = { m: Params; v: Params };

/** What AdamW needs at a step: the two bias corrections. */
type Corrections = { first: np.Array; second: np.Array };

/** One parameter's update by AdamW. */
function adamW(p: np.Array, g: np.Array, m: np.Array, v: np.Array, at: Corrections) {
  const { lr, betas: [beta1, beta2], eps, weightDecay } = tinyStep;
  const m1 = m.mul(beta1).add(g.ref.mul(1 - beta1));
  const v1 = v.mul(beta2).add(np.square(g).mul(1 - beta2));
  const denominator = np.sqrt(v1.ref).div(at.second.ref).add(eps);
  const update = m1.ref.div(at.first.ref).div(denominator).mul(lr);
  // timm's rule: vectors do not decay.
  const kept = p.ndim > 1 ? p.mul(1 - lr * weightDecay) : p;
  return { p: kept.sub(update), m: m1, v: v1 };
}

/** A whole training step: loss, gradients of every parameter, AdamW. */
function trainStep(
  params: Params,
  { m, v }: Moments,
  at: Corrections,
  fixed: Fixed,
  batch: Batch,
) {
  const [loss, grads] = valueAndGrad(lossOf)(tree.ref(params), fixed, batch);
  const [ps, structure] = tree.flatten<np.Array>(params);
  const [gs, ms, vs] = [grads as Params, m, v].map((t) => tree.leaves<np.Array>(t));
  const updated = ps.map((p, i) => adamW(p, gs[i], ms[i], vs[i], at));
  tree.dispose(at);
  const part = (name: "p" | "m" | "v") =>
    tree.unflatten(structure, updated.map((u) => u[name])) as Params;
  return { loss, params: part("p"), moments: { m: part("m"), v: part("v") } };
}

/** The model in training. */
export function training(): Training<np.Array> {
  const { pos_embed, decoder_pos_embed, ...trained } = map<Tensor, np.Array, McmaeParams>(
    tinyParams(),
    arrayOf,
  ) as Arrays<McmaeParams>;
  const fixed = { pos_embed, decoder_pos_embed };
  let params: Params = trained;
  const zeros = () => tree.map((p: np.Array) => np.zeros(p.shape), params) as Params;
  let moments: Moments = { m: zeros(), v: zeros() };
  const { images, keep, removed } = tinyBatch();
  const n = tinyStep.batch;
  const { imageSize, channels } = settings;
  const batch: Batch = {
    images: np.array(images).reshape([n, ...imageSize, channels]),
    keep: np.array(Int32Array.from(keep)).reshape([n, keep.length / n]),
    removed: np.array(removed).reshape([n, TOKENS]),
  };
  const compiled = jit(trainStep);
  let count = 0;
  return {
    parameters: tree.leaves<np.Array>(params).reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    step() {
      count++;
      const [first, second] = tinyStep.betas.map((beta) => 1 - beta ** count);
      const at = { first: np.array(first), second: np.array(Math.sqrt(second)) };
      const result = compiled(params, moments, at, tree.ref(fixed), tree.ref(batch));
      ({ params, moments } = result);
      return result.loss;
    },
    state: () => [params, moments.m, moments.v].flatMap((t) => tree.leaves<np.Array>(t)),
  };
}

function arrayOf({ source, shape }: Tensor): np.Array {
  if (source.kind !== "host") throw new TypeError(`Cannot read a ${source.kind} tensor`);
  return np.array(Float32Array.from(source.data)).reshape([...shape]);
}
