/**
 * Everything besides products that a training step is made of, at sizes of MCMAE-B.
 *
 * @module
 */
import type { Device } from "../../src/device.ts";
import { pullback } from "../../src/grad.ts";
import { attention } from "../../src/ops/attention.ts";
import { depthwise, maskedDepthwise } from "../../src/ops/depthwise.ts";
import { gather } from "../../src/ops/gather.ts";
import { layerNorm } from "../../src/ops/layer_norm.ts";
import { gelu } from "../../src/ops/map.ts";
import { adamW } from "../../src/optim.ts";
import { upload } from "../../src/plan/read.ts";
import { fold, key } from "../../src/random.ts";
import { bytesOf, scalar, type Tensor, tensor } from "../../src/tensor.ts";
import { leaves, type Tree } from "../../src/tree.ts";
import { randomMask } from "../../data/mask.ts";
import {
  arithmetic,
  type Ceilings,
  free,
  type Line,
  random,
  timeFunction,
  traffic,
} from "./measure.ts";

/** Attention of clips, images and decoders: `L` tokens, N samples, heads of width D. */
const ATTENTIONS = [
  { L: 49, n: 8, heads: 12, D: 64 },
  { L: 196, n: 2, heads: 16, D: 32 },
  { L: 1568, n: 1, heads: 6, D: 64 },
];

/** Forward, and forward with backward; the difference is the backward's share. */
export async function* attentions(device: Device, ceilings: Ceilings): AsyncGenerator<Line> {
  for (const { L, n, heads, D } of ATTENTIONS) {
    const args = {
      qkv: random(device, [n, L, 3 * heads * D], 1),
      dy: random(device, [n, L, heads * D], 2),
    };
    const product = 2 * n * heads * L * L * D; // of the five that a gradient is made of, and more
    const forward = await timeFunction(device, ({ qkv }) => ({ y: attention(qkv, heads) }), args);
    const name = `attention-${L}`;
    yield { case: `${name}-forward`, ms: forward, ...arithmetic(forward, 2 * product, ceilings) };
    const both = await timeFunction(device, ({ qkv, dy }) => {
      const y = attention(qkv, heads);
      return { y, dqkv: pullback([y], [dy], [qkv])[0]! };
    }, args);
    yield {
      ...{ case: `${name}-backward`, ms: both - forward },
      ...arithmetic(both - forward, 4 * product, ceilings),
    };
    free(leaves<Tensor>(args));
  }
}

/** Depthwise 5×5, dense at [2, 56, 56, 256], and over the visible quarter of the same maps. */
export async function* depthwises(device: Device, ceilings: Ceilings): AsyncGenerator<Line> {
  const [n, side, C, k] = [2, 56, 256, 5];
  const [grid, s] = [14, 4];
  const { V, keep, restore } = mask(device, n, grid * grid);
  const weight = random(device, [C, 1, k, k], 2);
  const bias = random(device, [C], 3);
  const blocks = { keep, restore, grid: [grid, grid] as const };
  const cases = [
    { name: "depthwise-5x5", shape: [n, side, side, C] },
    { name: "masked-depthwise-5x5", shape: [n, V, s, s, C] },
  ];
  for (const { name, shape } of cases) {
    const args = {
      ...{ x: random(device, shape, 4), dy: random(device, shape, 5), weight, bias },
      ...{ keep, restore },
    };
    const convolve = ({ x, weight, bias, keep, restore }: typeof args) =>
      shape.length === 4
        ? depthwise(x, weight, bias)
        : maskedDepthwise(x, weight, bias, { ...blocks, keep, restore });
    const flops = 2 * bytesOf(args.x) / 4 * k * k;
    const forward = await timeFunction(device, (args) => ({ y: convolve(args) }), args);
    yield { case: `${name}-forward`, ms: forward, ...arithmetic(forward, flops, ceilings) };
    // The forward pass is no part of this plan: its result is not needed.
    const backward = await timeFunction(device, (args) => {
      const wrt = [args.x, args.weight, args.bias];
      return pullback([convolve(args)], [args.dy], wrt) as Tree<Tensor>;
    }, args);
    yield { case: `${name}-backward`, ms: backward, ...arithmetic(backward, 2 * flops, ceilings) };
    free([args.x, args.dy]);
  }
  free([keep, restore, weight, bias]);
}

/** Kernels that memory bounds, by the bytes that they must move at least. */
export async function* streams(device: Device, ceilings: Ceilings): AsyncGenerator<Line> {
  const count = 1 << 22;
  const line = (name: string, ms: number, bytes: number): Line => ({
    ...{ case: name, ms },
    ...traffic(ms, bytes, ceilings),
  });

  const norm = {
    ...{ x: random(device, [2 * 56 * 56, 256], 1), dy: random(device, [2 * 56 * 56, 256], 2) },
    ...{ gain: random(device, [256], 3), bias: random(device, [256], 4) },
  };
  const bytes = bytesOf(norm.x);
  const normalise = ({ x, gain, bias }: typeof norm) => layerNorm(x, gain, bias, 1e-6);
  const forward = await timeFunction(device, (args) => ({ y: normalise(args) }), norm);
  yield line("layer-norm-forward", forward, 2 * bytes);
  const both = await timeFunction(device, (args) => {
    const y = normalise(args);
    const [dx, gain, bias] = pullback([y], [args.dy], [args.x, args.gain, args.bias]);
    return { y, dx: dx!, gain: gain!, bias: bias! };
  }, norm);
  yield line("layer-norm-backward", both - forward, 3 * bytes);
  free(leaves<Tensor>(norm));

  const curve = { x: random(device, [count], 5), dy: random(device, [count], 6) };
  const ms = await timeFunction(device, ({ x }) => ({ y: gelu(x) }), curve);
  yield line("gelu", ms, 2 * 4 * count);
  const slope = await timeFunction(
    device,
    ({ x, dy }) => ({ dx: pullback([gelu(x)], [dy], [x])[0]! }),
    curve,
  );
  yield line("gelu-backward", slope, 3 * 4 * count);
  free(leaves<Tensor>(curve));

  const optimizer = adamW({ betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0.05 });
  const shape = [1024, count / 1024];
  const one = (seed: number) => ({ w: random(device, shape, seed) });
  const args = {
    ...{ params: one(1), grads: one(2), state: { exp_avg: one(3), exp_avg_sq: one(4) } },
    hyper: optimizer.hyper(1, 1e-3),
  };
  const update = await timeFunction(
    device,
    ({ params, grads, state, hyper }) => {
      const [p, s] = optimizer.update(grads, state, params, hyper, scalar(1));
      return { params: p, state: s };
    },
    args,
    ["params", "state"],
  );
  yield line("adamw", update, 7 * 4 * count);
  free(leaves<Tensor>(args));

  const [n, L, C] = [32, 196, 768];
  const { V, keep, restore } = mask(device, n, L);
  const rows = { x: random(device, [n, L, C], 7), keep, restore };
  const picked = await timeFunction(device, ({ x, keep, restore }) => ({
    y: gather(x, keep, restore),
  }), rows);
  yield line("gather", picked, 2 * 4 * n * V * C);
  free(leaves<Tensor>(rows));
}

/** A random quarter of the tokens of n samples, and where they lie. */
function mask(device: Device, n: number, length: number) {
  const keys = Array.from({ length: n }, (_, sample) => fold(key(1), sample));
  const { keep, restore, visible: V } = randomMask(keys, length, 0.75);
  return {
    V,
    keep: upload(device, tensor(keep, [n, V])),
    restore: upload(device, tensor(restore, [n, length])),
  };
}
