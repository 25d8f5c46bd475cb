/**
 * Compares the ops of RandAugment with what timm makes of Pillow's images.
 *
 * A fixture names its tensors `<op>.<pos|neg>.out`, from `image`; `out_<suffix>` is from
 * `image_<suffix>…` where there is one, else with the interpolation of that name. Magnitude and
 * arguments stand in its metadata, so a fixture of any magnitude will do.
 */
import { IMAGENET_MEAN } from "../../data/augment.ts";
import {
  fillOf,
  parseRandAugment,
  RAND_AUGMENT_OPS,
  type RandAugmentOp,
} from "../../data/rand_augment.ts";
import type { Sampling } from "../../data/affine.ts";
import type { Image } from "../../data/resize.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { BOUNDS, check, type TensorCheck } from "./check.ts";
import { json, tensorOf } from "./fixture.ts";

const BLENDED = 1; // levels by which one value may differ
const MEAN = 0.5; // levels by which values differ on average
const SHARE = 0.01; // pixels that differ by more than 2 levels

const OPS: Readonly<Record<string, RandAugmentOp>> = RAND_AUGMENT_OPS;

/**
 * Compares every op, argument and setting of a `rand_augment` file.
 *
 * Tables are exact, and blends within one level. A geometric op has two checks: the share of pixels
 * that differ by more than 2 levels, under the tensor's name, and the mean difference.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export function* checkRandAugment(file: Safetensors): Generator<TensorCheck> {
  const magnitude = json<number>(file, "magnitude");
  const fill = json<number[]>(file, "fillcolor");
  const given = json<Record<string, number[]>>(file, "op_args");
  const policy = parseRandAugment(`rand-m${magnitude}-mstd0-inc1`);
  const settings = [json(file, "num_layers"), json(file, "per_op_prob")];
  yield same("op_list_inc1", policy.ops, json(file, "op_list_inc1"));
  yield same("num_layers, per_op_prob", [policy.layers, policy.probability], settings);
  yield same("fillcolor", fillOf(IMAGENET_MEAN), fill);
  for (const [key, expected] of Object.entries(given)) {
    const [name, sign] = key.split(".");
    const argument = OPS[name]?.argument?.(magnitude, sign === "neg" ? -1 : 1);
    yield same(`${key}.argument`, argument === undefined ? [] : [argument], expected);
  }
  for (const [tensor, { data }] of file.tensors) {
    const [, key, name, suffix] = tensor.match(/^((\w+)\.(?:pos|neg))\.out(?:_(\w+))?$/) ?? [];
    if (!(name in OPS)) continue; // an expected tensor that is left out fails
    const source = sourceOf(file, suffix);
    const interpolation = source.named ? file.metadata.interpolation : suffix;
    const sampling = { interpolation: interpolation as Sampling["interpolation"], fill };
    const { apply } = OPS[name];
    const { pixels, channels } = apply(source.image, (given[key] ?? [])[0], sampling);
    const differences = Array.from(data as Uint8Array, (value, i) => Math.abs(pixels[i] - value));
    yield* judge(tensor, name, differences, channels);
  }
}

function* judge(
  tensor: string,
  name: string,
  differences: readonly number[],
  channels: number,
): Generator<TensorCheck> {
  if (/^(Rotate|Shear|Translate)/.test(name)) {
    const pixels = differences.length / channels;
    const off = new Set<number>();
    differences.forEach((difference, i) => difference <= 2 || off.add(Math.floor(i / channels)));
    const mean = differences.reduce((sum, difference) => sum + difference, 0) / differences.length;
    yield check(tensor, off.size / pixels, SHARE);
    yield check(`${tensor}, mean`, mean, MEAN);
  } else {
    const blends = /^(Color|Contrast|Sharpness)/.test(name);
    const most = differences.reduce((a, b) => Math.max(a, b), 0);
    yield check(tensor, most, blends ? BLENDED : BOUNDS.exact);
  }
}

/** The image of a suffix, and whether it is named so. */
function sourceOf(file: Safetensors, suffix: string | undefined) {
  const names = [...file.tensors.keys()];
  const named = suffix ? names.find((name) => name.startsWith(`image_${suffix}`)) : "image";
  const { data, shape: [height, width, channels] } = tensorOf(file, named ?? "image");
  const image: Image = { width, height, channels, pixels: Uint8Array.from(data as Uint8Array) };
  return { image, named: named !== undefined };
}

/** Whether two lists agree to the bit. */
function same<Value>(name: string, actual: readonly Value[], expected: Value[]): TensorCheck {
  const agree = actual.length === expected.length && actual.every((a, i) => a === expected[i]);
  return check(name, agree ? 0 : Infinity, BOUNDS.exact);
}
