/**
 * Layer normalisation.
 *
 * @module
 */
import { apply, applyAll, dispatch, workgroups } from "../op.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
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
  const rows = sizeOf(x.shape) / width;
  const lanes = width % 4 === 0 ? 4 : 1;
  const constants = { C: width / lanes, lanes, rows };
  const [y] = applyAll({
    name: "layer_norm",
    key: `layer_norm:${x.shape}:${eps}`,
    outputs: [{ shape: x.shape, dtype: "f32" }, { shape: [rows, 2], dtype: "f32" }],
    lowering: {
      kind: "kernel",
      dispatches: () => [
        dispatch("layerNorm", { ...constants, eps }, [0, 1, 2, 3, 4], workgroups(rows), lanes),
      ],
    },
    vjp: ([dy], [x, gain], [, moments]) => {
      const dx = apply({
        name: "layer_norm_grad",
        key: `layer_norm_grad:${x.shape}`,
        outputs: [{ shape: x.shape, dtype: "f32" }],
        lowering: {
          kind: "kernel",
          dispatches: () => [
            dispatch("layerNormGrad", constants, [0, 1, 2, 3, 4], workgroups(rows), lanes),
          ],
        },
      }, [dy!, x, gain, moments]);
      const parameters = gainGrad(dy!, x, moments);
      return [
        dx,
        reshape(slice(parameters, 0, 0, 1), gain.shape),
        reshape(slice(parameters, 0, 1, 2), bias.shape),
      ];
    },
  }, [x, gain, bias]);
  return y;
}

/** Gradients of gain and bias, [2, C], added first within chunks of rows. */
function gainGrad(dy: Tensor, x: Tensor, moments: Tensor): Tensor {
  const width = x.shape.at(-1)!;
  const rows = sizeOf(x.shape) / width;
  const chunk = 64;
  const chunks = Math.ceil(rows / chunk);
  const size = chunks * width;
  const partial = apply({
    name: "layer_norm_grad_gain",
    key: `layer_norm_grad_gain:${x.shape}`,
    outputs: [{ shape: [chunks, 2, width], dtype: "f32" }],
    lowering: {
      kind: "kernel",
      dispatches: () => [
        dispatch(
          "layerNormGradGain",
          { C: width, rows, chunk, size },
          [0, 1, 2, 3],
          workgroups(size),
        ),
      ],
    },
  }, [dy, x, moments]);
  return sum(partial, [0]);
}
