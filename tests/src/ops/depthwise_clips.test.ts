import assert from "node:assert/strict";
import { depthwise, maskedDepthwise } from "../../../src/ops/depthwise.ts";
import { reshape } from "../../../src/ops/shape.ts";
import { type Shape, type Tensor, zeros } from "../../../src/tensor.ts";
import { at, checkOp, fill, type Input, type Values } from "../../check_op.ts";

/** y[t, h, w] = bias + Σ x[t + a − rt, h + i − r, w + j − r] w[a, i, j], x zero outside. */
function reference(x: Values, weight: Values, bias: Values): Values {
  const [, S, H, W] = x.shape;
  const [, , kt, k] = weight.shape;
  return fill(x.shape, (n, t, h, w, c) => {
    let total = bias.data[c];
    for (let a = 0; a < kt; a++) {
      for (let i = 0; i < k; i++) {
        for (let j = 0; j < k; j++) {
          const [slot, row, col] = [t + a - (kt - 1) / 2, h + i - (k - 1) / 2, w + j - (k - 1) / 2];
          if (slot < 0 || slot >= S || row < 0 || row >= H || col < 0 || col >= W) continue;
          total += at(x, n, slot, row, col, c) * at(weight, c, 0, a, i, j);
        }
      }
    }
    return total;
  });
}

/** The dense convolution of the clip with its removed blocks zeroed, at the visible blocks. */
function maskedReference([S, GH, GW]: readonly [number, number, number]) {
  return (x: Values, weight: Values, bias: Values, keep: Values): Values => {
    const [N, V, s, , C] = x.shape;
    const shape = [N, S, GH * s, GW * s, C];
    const place = (n: number, v: number, i: number, j: number) => {
      const token = keep.data[n * V + v];
      const [slot, cell] = [Math.floor(token / (GH * GW)), token % (GH * GW)];
      return [n, slot, Math.floor(cell / GW) * s + i, cell % GW * s + j] as const;
    };
    const map: Values = { shape, data: new Float64Array(N * S * GH * s * GW * s * C) };
    fill(x.shape, (n, v, i, j, c) => {
      const [, slot, row, col] = place(n, v, i, j);
      const index = (((n * S + slot) * GH * s + row) * GW * s + col) * C + c;
      return map.data[index] = at(x, n, v, i, j, c);
    });
    const y = reference(map, weight, bias);
    return fill(x.shape, (n, v, i, j, c) => at(y, ...place(n, v, i, j), c));
  };
}

/** keep [N, V] and its inverse restore [N, L], V for what is removed. */
function masks(L: number, kept: number[][]): [keep: Input, restore: Input] {
  const V = kept[0].length;
  const restore = kept.flatMap((row) =>
    Array.from({ length: L }, (_, place) => row.includes(place) ? row.indexOf(place) : V)
  );
  return [
    { indices: kept.flat(), shape: [kept.length, V] },
    { indices: restore, shape: [kept.length, L] },
  ];
}

Deno.test("depthwise() of clips matches its float64 reference and gradient", async (t) => {
  const cases: [kt: number, k: number, shape: Shape][] = [
    [3, 3, [2, 4, 3, 5, 3]],
    [5, 3, [1, 2, 4, 3, 4]], // the kernel reaches beyond the clip at both ends
    [1, 5, [2, 3, 3, 2, 4]],
    [3, 1, [3, 5, 5, 1, 2]], // 75 rows: 64 a chunk of the weight gradient
    [3, 7, [1, 3, 2, 9, 5]], // two strips, two parts of a row of taps
  ];
  for (const [kt, k, shape] of cases) {
    const C = shape[4];
    await t.step(
      `kt = ${kt}, k = ${k}, [${shape}]`,
      () => checkOp(depthwise, reference, [shape, [C, 1, kt, k, k], [C]]),
    );
  }
});

Deno.test("maskedDepthwise() of clips equals the dense convolution of the zeroed clip, with its gradients", async (t) => {
  const cases: [
    name: string,
    kt: number,
    k: number,
    s: number,
    C: number,
    grid: [number, number, number],
    kept: number[][],
  ][] = [
    ["tubes, two samples", 3, 3, 2, 3, [3, 2, 2], [[1, 2, 5, 6, 9, 10], [3, 0, 7, 4, 11, 8]]],
    ["any mask, shuffled", 3, 5, 2, 4, [3, 2, 2], [[11, 0, 6, 1, 5], [8, 3, 2, 7, 10]]],
    ["all visible, kt beyond the clip", 5, 3, 1, 2, [2, 1, 2], [[2, 0, 3, 1]]],
    ["single cells, kt = 1", 1, 3, 1, 4, [2, 2, 3], [[0, 5, 1, 10, 11, 4]]],
    ["70 blocks, 64 a chunk", 3, 3, 1, 1, [3, 5, 5], [
      Array.from({ length: 70 }, (_, i) => (7 * i + 2) % 75),
    ]],
    ["blocks of 4", 3, 5, 4, 4, [2, 1, 3], [[5, 1, 2], [0, 3, 4]]],
    ["blocks of 8, k = 9", 3, 9, 8, 1, [2, 2, 2], [[7, 0, 5]]],
  ];
  for (const [name, kt, k, s, C, grid, kept] of cases) {
    const [keep, restore] = masks(grid[0] * grid[1] * grid[2], kept);
    const shape = [kept.length, kept[0].length, s, s, C];
    await t.step(name, () =>
      checkOp(
        (x, weight, bias, keep, restore) =>
          maskedDepthwise(x, weight, bias, { keep, restore, grid }),
        maskedReference(grid),
        [shape, [C, 1, kt, k, k], [C], keep, restore],
      ));
  }
});

Deno.test("depthwise() of clips with kt = 1 convolves every slot as an image", () =>
  checkOp(
    (x: Tensor, weight: Tensor, bias: Tensor) =>
      reshape(
        depthwise(reshape(x, [6, 4, 3, 4]), reshape(weight, [4, 1, 3, 3]), bias),
        [2, 3, 4, 3, 4],
      ),
    reference,
    [[2, 3, 4, 3, 4], [4, 1, 1, 3, 3], [4]],
  ));

Deno.test("Depthwise convolutions of clips refuse even kernels and kernels of other axes", () => {
  const x = zeros([1, 2, 4, 4, 3]);
  const convolve = (shape: Shape) => () => depthwise(x, zeros(shape), zeros([3]));
  assert.throws(convolve([3, 1, 2, 3, 3]), {
    name: "RangeError",
    message: "Cannot convolve [1,2,4,4,3] depthwise with [3,1,2,3,3]: " +
      "it takes [3, 1, kt, k, k], kt and k odd",
  });
  assert.throws(convolve([3, 1, 3, 3]), RangeError);
  assert.throws(
    () => depthwise(zeros([1, 4, 4, 3]), zeros([3, 1, 1, 3, 3]), zeros([3])),
    RangeError,
  );
  const [keep, restore] = [zeros([1, 2], "u32"), zeros([1, 8], "u32")];
  assert.throws(
    () =>
      maskedDepthwise(zeros([1, 2, 2, 2, 3]), zeros([3, 1, 3, 3, 3]), zeros([3]), {
        ...{ keep, restore, grid: [2, 2, 3] },
      }),
    RangeError,
  );
});
