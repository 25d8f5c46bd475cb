/**
 * Layer normalisation.
 *
 * @module
 */
import { applyAll, type Dispatch, dispatch, type Target, workgroups } from "../op.ts";
import { type Shape, sizeOf, type Tensor } from "../tensor.ts";
import { sum } from "./reduce.ts";
import { reshape, slice } from "./shape.ts";

/**
 * Normalises over the last axis to mean 0 and variance 1, then scales and shifts (arXiv:1607.06450).
 *
 * @param x `[…, C]`.
 * @param gain `[C]`.
 * @param bias `[C]`.
 * @param eps Added to the (biased) variance.
 * @returns `[…, C]`.
 * @throws {RangeError} If gain or bias are not `[C]`.
 */
export function layerNorm(x: Tensor, gain: Tensor, bias: Tensor, eps: number): Tensor {
  const width = x.shape.at(-1)!;
  if (sizeOf(gain.shape) !== width || sizeOf(bias.shape) !== width) {
    throw new RangeError(
      `Cannot normalise [${x.shape}] with gain [${gain.shape}] and bias [${bias.shape}]`,
    );
  }
  const sizes = sizesOf(x.shape);
  const [y] = applyAll({
    name: "layer_norm",
    key: `layer_norm:${x.shape}:${eps}`,
    outputs: [{ shape: x.shape, dtype: "f32" }, { shape: [sizes.rows, 2], dtype: "f32" }],
    flops: 7 * sizeOf(x.shape), // two sums, x − μ, its square, three more
    activation: "follows",
    lowering: {
      kind: "kernel",
      dispatches: (target) => [normalising(target, sizes, eps)],
    },
    vjp: ([dy], [x, gain], [, moments]) => {
      const chunk = chunkOf(sizes.rows);
      const chunks = Math.ceil(sizes.rows / chunk);
      const [dx, partial] = applyAll({
        name: "layer_norm_grad",
        key: `layer_norm_grad:${x.shape}`,
        // Gradients of gain and bias are added first within chunks of rows.
        outputs: [{ shape: x.shape, dtype: "f32" }, { shape: [chunks, 2, width], dtype: "f32" }],
        flops: 13 * sizeOf(x.shape), // x̂ 2, dy · gain 1, its two sums 3, dx 4, gain 2, bias 1
        activation: "follows",
        lowering: {
          kind: "kernel",
          dispatches: (target) => gradient(target, sizes, chunk),
        },
      }, [dy!, x, gain, moments]);
      const parameters = sum(partial, [0]);
      return [
        dx,
        reshape(slice(parameters, 0, 0, 1), gain.shape),
        reshape(slice(parameters, 0, 1, 2), bias.shape),
      ];
    },
  }, [x, gain, bias]);
  return y;
}

/** Rows of `C` elems, each of so many lanes. */
interface Sizes {
  readonly rows: number;
  readonly C: number;
  readonly lanes: 1 | 4;
}

function sizesOf(shape: Shape): Sizes {
  const width = shape.at(-1)!;
  const lanes = width % 4 === 0 ? 4 : 1;
  return { rows: sizeOf(shape) / width, C: width / lanes, lanes };
}

/** Rows that are added to one partial sum: about 1024 sums, none of many or few rows. */
function chunkOf(rows: number): number {
  return Math.min(128, Math.max(12, Math.ceil(rows / 1024)));
}

/** Elems of a row that the invocations of a subgroup or a team hold. */
const [SUBGROUP, TEAM] = [256, 1024];

/** How many invocations of a GPU share a row, of four elems each, and how many are in a workgroup. */
function teamOf(C: number): { team: number; size: number } {
  const power = (count: number) => 2 ** Math.ceil(Math.log2(count));
  const team = Math.max(power(C / 4), Math.min(16, power(C)));
  return { team, size: Math.max(64, team) };
}

/** The launch that normalises: whole rows in registers where they fit. */
function normalising({ cpu, broadcast }: Target, sizes: Sizes, eps: number): Dispatch {
  const { rows, C, lanes } = sizes;
  const operands = [0, 1, 2, 3, 4];
  if (cpu && broadcast && C <= SUBGROUP) {
    // Enough subgroups for all cores, of enough rows that loading gain and bias hardly counts.
    const chunk = Math.min(16, Math.ceil(rows / 32));
    const groups = workgroups(64 * Math.ceil(rows / chunk));
    return dispatch("layerNormBroadcast", { ...sizes, chunk, eps }, operands, groups, lanes);
  }
  if (!cpu && C <= TEAM) {
    const { team, size } = teamOf(C);
    const groups = workgroups(64 * Math.ceil(rows / (size / team)));
    return dispatch("layerNormWorkgroup", { ...sizes, team, size, eps }, operands, groups, lanes);
  }
  return dispatch("layerNorm", { ...sizes, eps }, operands, workgroups(rows), lanes);
}

/** The launches of all gradients; those of gain and bias for each chunk of rows. */
function gradient({ cpu, broadcast }: Target, sizes: Sizes, chunk: number): Dispatch[] {
  const { rows, C, lanes } = sizes;
  const operands = [0, 1, 2, 3, 4, 5];
  const chunks = Math.ceil(rows / chunk);
  const groups = workgroups(64 * chunks);
  if (cpu && broadcast && C <= SUBGROUP) {
    return [dispatch("layerNormGradBroadcast", { ...sizes, chunk }, operands, groups, lanes)];
  }
  if (!cpu && C <= TEAM) {
    const constants = { ...sizes, chunk, ...teamOf(C) };
    return [dispatch("layerNormGradWorkgroup", constants, operands, groups, lanes)];
  }
  const width = C * lanes;
  const size = chunks * width;
  return [
    dispatch("layerNormGrad", { ...sizes }, [0, 1, 2, 3, 4], workgroups(rows), lanes),
    dispatch(
      "layerNormGradGain",
      { C: width, rows, chunk, size },
      [0, 1, 3, 5],
      workgroups(size),
    ),
  ];
}
