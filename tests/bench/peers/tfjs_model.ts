/** MCMAE and its training step in TensorFlow.js, dense as the published code is. */
import * as tf from "@tensorflow/tfjs";
import type { McmaeParams } from "../../../src/models/mcmae.ts";
import type { Tensor } from "../../../src/tensor.ts";
import { entries, map } from "../../../src/tree.ts";
import { tinySettings as settings, tinyStep } from "./cases.ts";
import type { Training } from "./peer.ts";
import { tinyBatch, tinyParams, TOKENS } from "./tiny.ts";

/** The same tree with variables of TensorFlow. */
type Variables<T> = T extends Tensor ? tf.Variable : { [Name in keyof T]: Variables<T[Name]> };

type Params = Variables<McmaeParams>;
type Layer = { readonly weight: tf.Tensor; readonly bias: tf.Tensor };
type ConvBlock = Params["blocks1"][number];
type Block = Params["blocks3"][number];

/** One batch; L tokens an image, V of them visible. */
interface Batch {
  /** `[N, H, W, C]`. */
  readonly images: tf.Tensor;
  /** `[N, V]`. */
  readonly keep: tf.Tensor;
  /** `[N, L]`. */
  readonly restore: tf.Tensor;
  /** `[N, L]`, 1 where a token is removed. */
  readonly removed: tf.Tensor;
}

const STRIDE = settings.patchSizes.reduce((a, b) => a * b);
const GRID = settings.imageSize[0] / STRIDE;

/** A linear or a pointwise layer, `[…, I]` → `[…, O]`; weights are `[I, O]` or `[1, 1, I, O]`. */
function linear(x: tf.Tensor, { weight, bias }: Layer): tf.Tensor {
  const [inputs, outputs] = weight.shape.slice(-2);
  const y = tf.fused.matMul({
    a: x.reshape([-1, inputs]),
    b: weight.reshape([inputs, outputs]),
    bias,
  });
  return y.reshape([...x.shape.slice(0, -1), outputs]);
}

export const gelu = (x: tf.Tensor): tf.Tensor => x.mul(0.5).mul(x.mul(Math.SQRT1_2).erf().add(1));

export function norm(x: tf.Tensor, { weight, bias }: Layer, epsilon: number): tf.Tensor {
  const { mean, variance } = tf.moments(x, -1, true);
  return x.sub(mean).mul(variance.add(epsilon).rsqrt()).mul(weight).add(bias);
}

/** `[N, H, W, C]` → `[N, L, size · size · C]`. */
function patchify(x: tf.Tensor, size: number): tf.Tensor {
  const [n, H, W, C] = x.shape;
  return x.reshape([n * H / size, size, W / size, size * C]).transpose([0, 2, 1, 3])
    .reshape([n, H * W / size ** 2, size ** 2 * C]);
}

/**
 * A convolution whose stride is its size, `[N, H, W, C]` → `[N, L, O]`: patches times weights, whose
 * gradients take less than half as long as those of `tf.conv2d`.
 */
function patchConvolution(x: tf.Tensor, { weight, bias }: Layer): tf.Tensor {
  const [size, , C, O] = weight.shape;
  return linear(patchify(x, size), { weight: weight.reshape([size * size * C, O]), bias });
}

export function depthwise(x: tf.Tensor, { weight, bias }: Layer): tf.Tensor {
  return tf.depthwiseConv2d(x as tf.Tensor4D, weight as tf.Tensor4D, 1, "same").add(bias);
}

function patchEmbed(x: tf.Tensor, layer: { readonly proj: Layer; readonly norm: Layer }) {
  const [n, H, W] = x.shape;
  const [size, , , O] = layer.proj.weight.shape;
  return gelu(norm(patchConvolution(x, layer.proj), layer.norm, 1e-5))
    .reshape([n, H / size, W / size, O]);
}

function convBlock(x: tf.Tensor, block: ConvBlock, mask: tf.Tensor): tf.Tensor {
  const inside = linear(norm(x, block.norm1, 1e-5), block.conv1);
  const y = x.add(linear(depthwise(inside.mul(mask), block.attn), block.conv2));
  const { fc1, fc2 } = block.mlp;
  return y.add(linear(gelu(linear(norm(y, block.norm2, 1e-5), fc1)), fc2));
}

function attention(qkv: tf.Tensor, heads: number): tf.Tensor {
  const [n, L, triple] = qkv.shape;
  const width = triple / 3;
  const split = qkv.reshape([n, L, 3, heads, width / heads]).transpose([2, 0, 3, 1, 4]);
  const [query, key, value] = tf.unstack(split);
  const scores = tf.matMul(query, key, false, true).mul(Math.sqrt(heads / width));
  return tf.matMul(tf.softmax(scores), value).transpose([0, 2, 1, 3]).reshape([n, L, width]);
}

function transformerBlock(x: tf.Tensor, block: Block, heads: number): tf.Tensor {
  const qkv = linear(norm(x, block.norm1, 1e-6), block.attn.qkv);
  const y = x.add(linear(attention(qkv, heads), block.attn.proj));
  const { fc1, fc2 } = block.mlp;
  return y.add(linear(gelu(linear(norm(y, block.norm2, 1e-6), fc1)), fc2));
}

/** Picks tokens, `[N, L, C]` by `[N, K]` → `[N, K, C]`. */
const gather = (x: tf.Tensor, index: tf.Tensor) => tf.gather(x, index, 1, 1);

/** 1 at the visible cells of a stage, `[N, H, W, 1]`. */
function cellMask(removed: tf.Tensor, cells: number): tf.Tensor {
  const n = removed.shape[0];
  return tf.sub(1, removed).reshape([n * GRID, 1, GRID, 1]).tile([1, cells, 1, cells])
    .reshape([n, GRID * cells, GRID * cells, 1]);
}

/** Visible tokens' latents, `[N, V, C]`. */
function encode(params: Params, { images, keep, removed }: Batch): tf.Tensor {
  const [, p2, p3] = settings.patchSizes;
  const [mask1, mask2] = [cellMask(removed, p2 * p3), cellMask(removed, p3)];
  let x = patchEmbed(images, params.patch_embed1);
  for (const block of params.blocks1) x = convBlock(x, block, mask1);
  const scale1 = gather(patchConvolution(x, params.stage1_output_decode!), keep);
  x = patchEmbed(x, params.patch_embed2);
  for (const block of params.blocks2) x = convBlock(x, block, mask2);
  const scale2 = gather(patchConvolution(x, params.stage2_output_decode!), keep);
  x = patchEmbed(x, params.patch_embed3);
  x = linear(x.reshape([x.shape[0], TOKENS, x.shape[3]!]), params.patch_embed4);
  x = gather(x.add(params.pos_embed), keep);
  for (const block of params.blocks3) x = transformerBlock(x, block, settings.heads);
  return norm(x.add(scale1).add(scale2), params.norm, 1e-6);
}

/** Every patch, `[N, L, P]`. */
function decode(params: Params, latent: tf.Tensor, restore: tf.Tensor): tf.Tensor {
  const embedded = linear(latent, params.decoder_embed);
  const [n, V, C] = embedded.shape;
  // Not tile(), whose gradient takes a slice and an addition for every copy.
  const masked = tf.zeros([n, TOKENS - V, C]).add(params.mask_token);
  const filled = tf.concat([embedded, masked], 1);
  let x = gather(filled, restore).add(params.decoder_pos_embed);
  for (const block of params.decoder_blocks) {
    x = transformerBlock(x, block, settings.decoderHeads);
  }
  return linear(norm(x, params.decoder_norm, 1e-6), params.decoder_pred);
}

/** Mean squared error on removed patches, whose pixels are normalised. */
function lossOf(params: Params, batch: Batch): tf.Scalar {
  const { images, restore, removed } = batch;
  const predicted = decode(params, encode(params, batch), restore);
  const patches = patchify(images, STRIDE);
  const centred = patches.sub(patches.mean(2, true));
  const variance = centred.square().sum(2, true).div(patches.shape[2]! - 1);
  const target = centred.div(variance.add(1e-6).sqrt());
  const perPatch = predicted.sub(target).square().mean(2);
  return perPatch.mul(removed).sum().div(removed.sum());
}

/** A parameter with its moments. */
interface Trained {
  readonly p: tf.Variable;
  readonly m: tf.Variable;
  readonly v: tf.Variable;
}

/** One parameter's update by AdamW. */
function adamW({ p, m, v }: Trained, gradient: tf.Tensor, step: number): void {
  const { lr, betas: [beta1, beta2], eps, weightDecay } = tinyStep;
  m.assign(m.mul(beta1).add(gradient.mul(1 - beta1)));
  v.assign(v.mul(beta2).add(gradient.square().mul(1 - beta2)));
  const denominator = v.sqrt().div(Math.sqrt(1 - beta2 ** step)).add(eps);
  const update = m.div(denominator).mul(lr / (1 - beta1 ** step));
  // timm's rule: vectors do not decay.
  const kept = p.shape.length > 1 ? p.mul(1 - lr * weightDecay) : p;
  p.assign(kept.sub(update));
}

/** The model in training. */
export function training(): Training<tf.Tensor> {
  const params = map<Tensor, tf.Variable, McmaeParams>(tinyParams(), variable) as Params;
  const trained = entries<tf.Variable>(params).map(([, p]) => p).filter((p) => p.trainable)
    .map((p): Trained => ({ p, m: zeros(p), v: zeros(p) }));
  const batch = tensorsOf(tinyBatch());
  let count = 0;
  return {
    parameters: trained.reduce((sum, { p }) => sum + p.size, 0),
    step: () =>
      tf.tidy(() => {
        count++;
        const { value, grads } = tf.variableGrads(
          () => lossOf(params, batch),
          trained.map(({ p }) => p),
        );
        for (const parameter of trained) adamW(parameter, grads[parameter.p.name], count);
        return value;
      }),
    state: () => trained.flatMap(({ p, m, v }) => [p, m, v]),
  };
}

const zeros = (p: tf.Variable) => tf.variable(tf.zeros(p.shape), false);

/** A parameter in TensorFlow's layout; the two position tables are not trained. */
function variable({ source, shape }: Tensor, path: string): tf.Variable {
  if (source.kind !== "host") throw new TypeError(`Cannot read a ${source.kind} tensor`);
  const values = tf.tensor(source.data as Float32Array, [...shape]);
  return tf.variable(values.transpose(orderOf(shape)), !path.endsWith("pos_embed"), path);
}

/** Linear `[O, I]` → `[I, O]`, convolution `[O, I, k, k]` → `[k, k, I, O]`; depthwise `[k, k, C, 1]`. */
function orderOf(shape: Tensor["shape"]): number[] {
  if (shape.length === 2) return [1, 0];
  if (shape.length === 4) return shape[1] === 1 ? [2, 3, 0, 1] : [2, 3, 1, 0];
  return [...shape.keys()];
}

function tensorsOf({ images, keep, restore, removed, visible }: ReturnType<typeof tinyBatch>) {
  const { batch: n } = tinyStep;
  const { imageSize: [height, width], channels } = settings;
  return {
    images: tf.tensor(images, [n, height, width, channels]),
    keep: tf.tensor(Int32Array.from(keep), [n, visible], "int32"),
    restore: tf.tensor(Int32Array.from(restore), [n, TOKENS], "int32"),
    removed: tf.tensor(removed, [n, TOKENS]),
  };
}
