/**
 * A feature pyramid (arXiv:1612.03144), as detectron2 has it, by its names: `fpn_lateral2 …
 * fpn_output5`. Maps are `[N, H, W, C]`.
 *
 * @module
 */
import type { Initializer } from "../init.ts";
import { add } from "../ops/map.ts";
import { resample } from "../ops/resample.ts";
import type { Taps } from "../taps.ts";
import type { Tensor } from "../tensor.ts";
import type { Normalise } from "./batch_norm.ts";
import {
  drawXavier,
  type NormedConvolution,
  normedConvolution,
  type NormKind,
  withNorm,
} from "./normed_convolution.ts";

/** Names of the maps that are joined: a stride of 2 to this power. */
const LEVELS = [2, 3, 4, 5] as const;

type Level = typeof LEVELS[number];

export type FpnParams =
  & { readonly [name in `fpn_lateral${Level}`]: NormedConvolution }
  & { readonly [name in `fpn_output${Level}`]: NormedConvolution };

/** Maps p2 … p6, of strides 4 … 64. */
export type Pyramid = readonly [Tensor, Tensor, Tensor, Tensor, Tensor];

/** Draws a pyramid on maps of four numbers of channels. */
export function initFpn(
  draw: Initializer,
  inputs: readonly number[],
  channels: number,
  norm: NormKind,
): FpnParams {
  const layers = LEVELS.flatMap((level, i) => [
    [`fpn_lateral${level}`, withNorm(drawXavier(draw, [channels, inputs[i], 1, 1]), norm)],
    [`fpn_output${level}`, withNorm(drawXavier(draw, [channels, channels, 3, 3]), norm)],
  ]);
  return Object.fromEntries(layers);
}

/**
 * Adds to each map the next coarser one, enlarged.
 *
 * @param maps Of strides 4, 8, 16 and 32.
 * @param normalise How BatchNorms are applied, if there are any.
 * @returns Five maps; the last is every second cell of the fourth.
 * @throws {RangeError} If a map is not twice as large as the next.
 */
export function featurePyramid(
  params: FpnParams,
  maps: readonly Tensor[],
  normalise: Normalise,
): Pyramid {
  const outputs: Tensor[] = [];
  let coarser: Tensor | undefined;
  for (const [i, level] of [...LEVELS.entries()].reverse()) {
    const lateral = normedConvolution(maps[i], params[`fpn_lateral${level}`], normalise);
    const joined: Tensor = coarser ? add(lateral, enlarge(coarser, lateral)) : lateral;
    const layer = params[`fpn_output${level}`];
    outputs.unshift(normedConvolution(joined, layer, normalise, { padding: 1 }));
    coarser = joined;
  }
  const [p2, p3, p4, p5] = outputs;
  return [p2, p3, p4, p5, everySecond(p5)];
}

/** Each cell of a map four times, as many as `finer` has. */
function enlarge(x: Tensor, finer: Tensor): Tensor {
  if ([1, 2].some((axis) => 2 * x.shape[axis] !== finer.shape[axis])) {
    throw new RangeError(
      `Cannot enlarge a map [${x.shape}] to [${finer.shape}]: not twice as large`,
    );
  }
  return alongSides(x, (size) => tapsAt(2 * size, (i) => i >> 1));
}

function everySecond(x: Tensor): Tensor {
  return alongSides(x, (size) => tapsAt(Math.ceil(size / 2), (i) => 2 * i));
}

function alongSides(x: Tensor, tapsOf: (size: number) => Taps): Tensor {
  return [1, 2].reduce((y, axis) => resample(y, axis, tapsOf(y.shape[axis])), x);
}

function tapsAt(count: number, place: (i: number) => number): Taps {
  return Array.from({ length: count }, (_, i) => [[place(i), 1]]);
}
