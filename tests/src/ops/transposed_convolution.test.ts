import assert from "node:assert/strict";
import { transposedConvolution } from "../../../src/ops/transposed_convolution.ts";
import { zeros } from "../../../src/tensor.ts";
import { at, checkOp, fill, type Values } from "../../check_op.ts";

function reference(x: Values, weight: Values, bias: Values): Values {
  const [N, H, W, C] = x.shape;
  const [, O, k] = weight.shape;
  return fill([N, k * H, k * W, O], (n, h, w, o) => {
    let total = bias.data[o];
    for (let c = 0; c < C; c++) {
      total += at(x, n, Math.floor(h / k), Math.floor(w / k), c) * at(weight, c, o, h % k, w % k);
    }
    return total;
  });
}

Deno.test("transposedConvolution() matches its float64 reference and gradient", async (t) => {
  for (const [C, O, k] of [[3, 5, 2], [8, 4, 3], [2, 1, 1]]) {
    await t.step(
      `C = ${C}, O = ${O}, k = ${k}`,
      () => checkOp(transposedConvolution, reference, [[2, 3, 4, C], [C, O, k, k], [O]]),
    );
  }
});

Deno.test("transposedConvolution() refuses a kernel of other channels", () => {
  assert.throws(() => transposedConvolution(zeros([1, 2, 2, 3]), zeros([4, 3, 2, 2])), {
    name: "RangeError",
    message: "Cannot convolve [1,2,2,3] transposed with [4,3,2,2]",
  });
});
