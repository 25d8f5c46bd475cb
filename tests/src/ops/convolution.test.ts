import assert from "node:assert/strict";
import { convolution, type ConvolutionOptions } from "../../../src/ops/convolution.ts";
import { zeros } from "../../../src/tensor.ts";
import { at, checkOp, fill, gpuLike, type Values } from "../../check_op.ts";

function convolutionReference({ stride = 1, padding = 0 }: ConvolutionOptions) {
  return (x: Values, weight: Values, bias: Values): Values => {
    const [N, H, W, C] = x.shape;
    const [O, , k] = weight.shape;
    const side = (length: number) => Math.floor((length + 2 * padding - k) / stride) + 1;
    return fill([N, side(H), side(W), O], (n, h, w, o) => {
      let total = bias.data[o];
      for (let i = 0; i < k; i++) {
        for (let j = 0; j < k; j++) {
          const [row, col] = [h * stride + i - padding, w * stride + j - padding];
          if (row < 0 || row >= H || col < 0 || col >= W) continue;
          for (let c = 0; c < C; c++) total += at(x, n, row, col, c) * at(weight, o, c, i, j);
        }
      }
      return total;
    });
  };
}

const cases: [title: string, x: number[], weight: number[], options: ConvolutionOptions][] = [
  ["3 × 3 with padding, in fours", [2, 5, 7, 8], [12, 8, 3, 3], { padding: 1 }],
  ["3 × 3 with padding, one by one", [2, 4, 3, 3], [5, 3, 3, 3], { padding: 1 }],
  ["3 × 3 without padding", [1, 6, 5, 4], [4, 4, 3, 3], {}],
  ["3 × 3 at every other cell of an even map", [2, 6, 6, 4], [8, 4, 3, 3], { stride: 2 }],
  ["3 × 3 at every other cell of an odd map", [1, 7, 5, 3], [2, 3, 3, 3], {
    stride: 2,
    padding: 1,
  }],
  ["7 × 7 at every third cell", [1, 9, 8, 3], [4, 3, 7, 7], { stride: 3, padding: 3 }],
  ["2 × 2 with more padding than it reaches", [1, 3, 4, 2], [3, 2, 2, 2], { padding: 2 }],
  ["1 × 1 at every other cell", [2, 5, 4, 3], [4, 3, 1, 1], { stride: 2 }],
  ["a map of one cell", [2, 1, 1, 4], [4, 4, 3, 3], { padding: 1 }],
];

Deno.test("convolution() matches its float64 reference and gradient", async (t) => {
  for (const [title, x, weight, options] of cases) {
    await t.step(title, () =>
      checkOp(
        (x, weight, bias) => convolution(x, weight, bias, options),
        convolutionReference(options),
        [x, weight, [weight[0]]],
      ));
  }
});

Deno.test("convolution() in parts matches its reference and gradient", async (t) => {
  const cases: [title: string, x: number[], weight: number[], options: ConvolutionOptions][] = [
    ["3 × 3 with padding", [2, 9, 5, 8], [12, 8, 3, 3], { padding: 1 }],
    ["3 × 3 at every other cell", [1, 11, 6, 4], [8, 4, 3, 3], { stride: 2, padding: 1 }],
    ["5 × 5 without padding", [1, 9, 6, 3], [4, 3, 5, 5], {}],
    ["7 × 7 at every third cell", [1, 12, 8, 3], [4, 3, 7, 7], { stride: 3, padding: 3 }],
  ];
  for (const [title, x, weight, options] of cases) {
    for (const scratchBytes of [3000, 100]) {
      await t.step(`${title}, ${scratchBytes} bytes`, () =>
        checkOp(
          (x, weight, bias) => convolution(x, weight, bias, { ...options, scratchBytes }),
          convolutionReference(options),
          [x, weight, [weight[0]]],
        ));
    }
  }
});

Deno.test("convolution() is the same by the kernels of GPUs", async () => {
  await checkOp(
    (x, weight, bias) => convolution(x, weight, bias, { padding: 1 }),
    convolutionReference({ padding: 1 }),
    [[2, 9, 8, 16], [24, 16, 3, 3], [24]],
    { device: await gpuLike() },
  );
});

Deno.test("convolution() refuses other channels, oblong kernels and kernels beyond the map", () => {
  const x = zeros([1, 4, 4, 3]);
  assert.throws(() => convolution(x, zeros([2, 4, 3, 3])), {
    name: "RangeError",
    message: "Cannot convolve [1,4,4,3] with [2,4,3,3] and a padding of 0",
  });
  assert.throws(() => convolution(x, zeros([2, 3, 3, 1])), RangeError);
  assert.throws(() => convolution(x, zeros([2, 3, 5, 5])), RangeError);
});
