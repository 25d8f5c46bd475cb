import assert from "node:assert/strict";
import { crossEntropy, labelCrossEntropy } from "../../../src/ops/cross_entropy.ts";
import { exp } from "../../../src/ops/map.ts";
import { read } from "../../../src/plan/read.ts";
import { tensor, zeros } from "../../../src/tensor.ts";
import { checkOp, fill, sharedDevice, type Values } from "../../check_op.ts";

/** Mean over rows of Σ −t · log softmax(z), in float64. */
function reference(logits: Values, targets: Values): Values {
  const [rows, C] = logits.shape;
  let loss = 0;
  for (let row = 0; row < rows; row++) {
    const z = logits.data.subarray(row * C, (row + 1) * C);
    const total = Math.log(z.reduce((sum, value) => sum + Math.exp(value), 0));
    for (let i = 0; i < C; i++) loss += targets.data[row * C + i] * (total - z[i]) / rows;
  }
  return { data: Float64Array.of(loss), shape: [] };
}

for (const [rows, classes] of [[7, 5], [1, 1], [3, 1000], [130, 10]]) {
  Deno.test(`crossEntropy() matches float64 on [${rows}, ${classes}]`, async () => {
    // Targets that do not sum to 1 show whether the gradient weighs them.
    const targets = {
      data: Float64Array.from({ length: rows * classes }, (_, i) => Math.fround((i * 7 % 5) / 5)),
      shape: [rows, classes],
    };
    const fixed = tensor(Float32Array.from(targets.data), targets.shape);
    await checkOp(
      (logits) => crossEntropy(logits, fixed),
      (logits) => reference(logits, targets),
      [[rows, classes]],
      { forward: 2e-6, draw: (z) => 3 * z },
    );
  });
}

Deno.test("crossEntropy() stays finite at logits far apart", async () => {
  const loss = crossEntropy(tensor([500, -500, 0], [1, 3]), tensor([0, 1, 0], [1, 3]));
  assert.deepEqual([...await read(await sharedDevice(), loss)], [1000]);
});

Deno.test("crossEntropy() refuses targets of another shape", () => {
  assert.throws(() => crossEntropy(tensor([1, 2], [1, 2]), tensor([1], [1, 1])), {
    name: "RangeError",
    message: "Cannot compare logits [1,2] with targets [1,1]",
  });
  assert.throws(() => crossEntropy(exp(tensor([1])), tensor([1])), RangeError);
});

/** log Σ eᶻ − z[label], 0 for a label beyond the classes. */
function labelReference(logits: Values, labels: Values): Values {
  const K = logits.shape.at(-1)!;
  return fill(labels.shape, (n, l) => {
    const row = n * labels.shape[1] + l;
    const z = logits.data.subarray(row * K, (row + 1) * K);
    const label = labels.data[row];
    return label < K ? Math.log(z.reduce((sum, x) => sum + Math.exp(x), 0)) - z[label] : 0;
  });
}

Deno.test("labelCrossEntropy() matches its float64 reference and gradient, and ignores labels", () =>
  checkOp(labelCrossEntropy, labelReference, [
    [2, 3, 5],
    { indices: [0, 4, 255, 2, 5, 1], shape: [2, 3] },
  ]));

Deno.test("labelCrossEntropy() refuses labels of another shape", () => {
  assert.throws(() => labelCrossEntropy(zeros([2, 3, 5]), zeros([2, 4], "u32")), {
    name: "RangeError",
    message: "Cannot compare logits [2,3,5] with labels [2,4]",
  });
});
