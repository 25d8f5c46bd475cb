import assert from "node:assert/strict";
import { batchNorm, normaliseBatch } from "../../../src/ops/batch_norm.ts";
import { readAll } from "../../../src/plan/read.ts";
import { tensor } from "../../../src/tensor.ts";
import { checkOp, sharedDevice, type Values } from "../../check_op.ts";

const EPS = 1e-3;

function reference({ data, shape }: Values): Values {
  const C = shape.at(-1)!;
  const rows = data.length / C;
  const y = new Float64Array(data.length);
  for (let c = 0; c < C; c++) {
    const column = Array.from({ length: rows }, (_, row) => data[row * C + c]);
    const mean = column.reduce((sum, x) => sum + x, 0) / rows;
    const variance = column.reduce((sum, x) => sum + (x - mean) ** 2, 0) / rows;
    column.forEach((x, row) => y[row * C + c] = (x - mean) / Math.sqrt(variance + EPS));
  }
  return { data: y, shape };
}

for (const shape of [[7, 5], [2, 1], [3, 5, 4], [130, 12]]) {
  Deno.test(`batchNorm() matches float64 and its gradient on [${shape}]`, () =>
    checkOp((x) => batchNorm(x, EPS).y, reference, [shape], { forward: 2e-6, gradient: 1e-4 }));
}

Deno.test("batchNorm() gives the mean and the unbiased variance", async () => {
  const { mean, variance } = batchNorm(tensor([1, 10, 3, 30], [2, 2]), EPS);
  const [m, v] = await readAll(await sharedDevice(), [mean, variance]);
  assert.deepEqual([[...m], [...v]], [[2, 20], [2, 200]]); // biased: 1 and 100
});

Deno.test("batchNorm() refuses a single row, which has no variance", () => {
  assert.throws(() => batchNorm(tensor([1, 2], [1, 2]), EPS), {
    name: "RangeError",
    message: "Cannot normalise a batch of shape [1,2]",
  });
});

Deno.test("normaliseBatch() takes the moments that it is given", async () => {
  const moments = { mean: tensor([1, 2]), variance: tensor([4, 16]) };
  const y = normaliseBatch(tensor([5, 10], [1, 2]), moments, 0);
  const [values] = await readAll(await sharedDevice(), [y]);
  assert.deepEqual([...values], [2, 2]);
});
