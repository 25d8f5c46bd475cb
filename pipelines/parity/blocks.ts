/** Golden outputs and gradients of single modules. */
import type { Device } from "../../src/device.ts";
import { grad } from "../../src/grad.ts";
import type { Affine } from "../../src/init.ts";
import {
  convBlock,
  type ConvBlockParams,
  patchEmbed,
  type PatchEmbedParams,
} from "../../src/models/mcmae_stages.ts";
import { type BlockParams, selfAttention, transformerBlock } from "../../src/models/transformer.ts";
import { depthwise } from "../../src/ops/depthwise.ts";
import { dropPath } from "../../src/ops/drop_path.ts";
import { mul } from "../../src/ops/map.ts";
import { sum } from "../../src/ops/reduce.ts";
import { permute } from "../../src/ops/shape.ts";
import { clipGain, globalNorm, type Params } from "../../src/optim.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { scalar, type Tensor } from "../../src/tensor.ts";
import { boundOf, compare, type TensorCheck } from "./check.ts";
import { compute, type Fixture, floats, input, json, namesUnder, parameters } from "./fixture.ts";

/**
 * Compares the modules of a `block_units` file, each a group of tensors `<module>.…`: patch
 * embeddings, convolution blocks, transformer blocks, attention, drop path and clipping.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkBlockUnits(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const groups = new Set(file.tensors.keys().map((name) => name.split(".")[0]));
  for (const group of groups) {
    const kind = Object.keys(UNITS).find((kind) => group.startsWith(kind));
    if (!kind) continue;
    const results = await UNITS[kind](file, group, await fixture.device());
    for (const [path, values] of results) {
      const name = `${group}.${path}`;
      if (file.tensors.has(name)) {
        yield compare(name, values, floats(file, name), boundOf(name));
      }
    }
  }
}

/** Computes the tensors of a group, named as in the file. */
type Unit = (file: Safetensors, group: string, device: Device) => ReturnType<typeof compute>;

/** What a module computes from its input, its parameters P and, masked, a map of 1 and 0. */
type Module<P> = (x: Tensor, params: P, mask: Tensor | undefined, heads: number) => Tensor;

const UNITS: Record<string, Unit> = {
  patch_embed: module<PatchEmbedParams>((x, params) => maps(x, (x) => patchEmbed(x, params))),
  cblock: module<ConvBlockParams>((x, params, mask) => {
    const visible = mask && permute(mask, CHANNELS_LAST);
    const convolve = (x: Tensor, { weight, bias }: Affine) =>
      depthwise(visible ? mul(x, visible) : x, weight, bias);
    return maps(x, (x) => convBlock(x, params, convolve));
  }),
  block: module<BlockParams>((x, params, _, heads) => transformerBlock(x, params, heads)),
  attention: module<BlockParams["attn"]>((x, params, _, heads) => selfAttention(x, params, heads)),
  drop_path(file, group, device) {
    const rate = json<number>(file, "drop_path_p");
    const args = { x: input(file, `${group}.in`), u: input(file, `${group}.u`) };
    return compute(device, ({ x, u }) => ({ out: dropPath(x, u, rate) }), args);
  },
  clip(file, group, device) {
    const maxNorm = json<number>(file, "clip_max_norm");
    const numbers = namesUnder(file, `${group}.grad`);
    const grads = Object.fromEntries(numbers.map((i) => [i, input(file, `${group}.grad${i}`)]));
    return compute(device, (grads) => {
      const norm = globalNorm(grads);
      const { gain } = clipGain(norm, scalar(0), scalar(1), maxNorm);
      const clipped = numbers.map((i) => [`out${i}`, mul(grads[i], gain)] as const);
      return { norm, ...Object.fromEntries(clipped) };
    }, grads);
  },
};

const CHANNELS_LAST = [0, 2, 3, 1];
const CHANNELS_FIRST = [0, 3, 1, 2];

/** A unit whose loss is the sum of its output times a cotangent. */
function module<P>(apply: Module<P>): Unit {
  return (file, group, device) => {
    const heads = json<number>(file, "num_heads");
    const args = {
      x: input(file, `${group}.in`),
      params: parameters<P>(file, `${group}.param.`),
      cotangent: input(file, `${group}.cotangent`),
      masks: file.tensors.has(`${group}.mask`) ? [input(file, `${group}.mask`)] : [],
    };
    return compute(device, ({ x, params, cotangent, masks: [mask] }) => {
      const out = apply(x, params, mask, heads);
      const loss = sum(mul(out, cotangent));
      return { out, ...grad<Params>(loss, { grad_in: x, grad: params }) as object };
    }, args);
  };
}

/** Applies what expects maps with channels last to maps as PyTorch has them. */
function maps(x: Tensor, fn: (x: Tensor) => Tensor): Tensor {
  return permute(fn(permute(x, CHANNELS_LAST)), CHANNELS_FIRST);
}
