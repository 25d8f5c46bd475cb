import assert from "node:assert/strict";
import { layerNorm } from "../../../src/ops/layer_norm.ts";
import { type Shape, zeros } from "../../../src/tensor.ts";
import { checkOp, type Values } from "../../check_op.ts";

/** (x − μ) / √(σ² + eps) · gain + bias, row by row, with the biased variance. */
function layerNormReference(eps: number) {
  return ({ data, shape }: Values, gain: Values, bias: Values): Values => {
    const C = shape.at(-1)!;
    const y = new Float64Array(data.length);
    for (let start = 0; start < data.length; start += C) {
      const row = data.subarray(start, start + C);
      const mean = row.reduce((total, value) => total + value, 0) / C;
      const variance = row.reduce((total, value) => total + (value - mean) ** 2, 0) / C;
      row.forEach((value, c) => {
        y[start + c] = (value - mean) / Math.sqrt(variance + eps) * gain.data[c] + bias.data[c];
      });
    }
    return { data: y, shape };
  };
}

Deno.test("layerNorm() matches its float64 reference and gradient", async (t) => {
  const shapes: Shape[] = [
    [2, 5, 8],
    [3, 7],
    [2, 2, 2, 4],
    [4, 3],
    [65, 5], // parameter gradients in two chunks of rows
    [130, 4], // workgroups of 64 rows, the last not full
  ];
  for (const shape of shapes) {
    const C = shape.at(-1)!;
    await t.step(
      `[${shape}]`,
      () =>
        checkOp((x, g, b) => layerNorm(x, g, b, 1e-5), layerNormReference(1e-5), [shape, [C], [C]]),
    );
  }
});

Deno.test("layerNorm() adds eps to the variance, not to its root", async (t) => {
  // Rows whose variance is about eps itself.
  const draw = (z: number, input: number) => input === 0 ? 1e-3 * z : z;
  for (const C of [8, 5]) {
    await t.step(`C = ${C}`, () =>
      checkOp(
        (x, g, b) => layerNorm(x, g, b, 1e-6),
        layerNormReference(1e-6),
        [[3, C], [C], [C]],
        { draw, step: 1e-7 },
      ));
  }
});

Deno.test("layerNorm() does not cancel where the mean is far above the deviation", () =>
  checkOp(
    (x, g, b) => layerNorm(x, g, b, 1e-6),
    layerNormReference(1e-6),
    [[3, 16], [16], [16]],
    // The values of x lie 6e-5 apart there, so the mean is known to that.
    { draw: (z, input) => input === 0 ? 1000 + z : z, forward: 1e-4, gradient: 1e-3 },
  ));

Deno.test("layerNorm() refuses parameters of another width", () => {
  assert.throws(() => layerNorm(zeros([2, 4]), zeros([3]), zeros([4]), 1e-6), {
    name: "RangeError",
    message: "Cannot normalise [2,4] with gain [3] and bias [4]",
  });
  assert.throws(() => layerNorm(zeros([2, 4]), zeros([4]), zeros([2]), 1e-6), RangeError);
});
