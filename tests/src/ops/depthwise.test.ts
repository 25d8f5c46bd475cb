import assert from "node:assert/strict";
import { grad } from "../../../src/grad.ts";
import { depthwise, maskedDepthwise } from "../../../src/ops/depthwise.ts";
import { mul } from "../../../src/ops/map.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll } from "../../../src/plan/read.ts";
import { type Shape, type Tensor, zeros } from "../../../src/tensor.ts";
import {
  at,
  checkOp,
  fill,
  gpuLike,
  type Input,
  random,
  sharedDevice,
  toTensor,
  type Values,
} from "../../check_op.ts";

/** y[h, w] = bias + Σ x[h + i − r, w + j − r] w[i, j], r = (k − 1) / 2, x zero outside. */
function depthwiseReference(x: Values, weight: Values, bias: Values): Values {
  const [, H, W] = x.shape;
  const k = weight.shape[3];
  return fill(x.shape, (n, h, w, c) => {
    let total = bias.data[c];
    for (let i = 0; i < k; i++) {
      for (let j = 0; j < k; j++) {
        const [row, col] = [h + i - (k - 1) / 2, w + j - (k - 1) / 2];
        if (row < 0 || row >= H || col < 0 || col >= W) continue;
        total += at(x, n, row, col, c) * at(weight, c, 0, i, j);
      }
    }
    return total;
  });
}

/** The dense convolution of the map with its removed blocks zeroed, at the visible blocks. */
function maskedReference([GH, GW]: readonly [number, number]) {
  return (x: Values, weight: Values, bias: Values, keep: Values): Values => {
    const [N, V, s, , C] = x.shape;
    const map: Values = {
      data: new Float64Array(N * GH * s * GW * s * C),
      shape: [N, GH * s, GW * s, C],
    };
    const place = (n: number, v: number, i: number, j: number) => {
      const block = keep.data[n * V + v];
      return [n, Math.floor(block / GW) * s + i, block % GW * s + j] as const;
    };
    x.data.forEach((value, position) => {
      const [n, v, i, j, c] = indexIn(x.shape, position);
      const [, row, col] = place(n, v, i, j);
      map.data[((n * GH * s + row) * GW * s + col) * C + c] = value;
    });
    const y = depthwiseReference(map, weight, bias);
    return fill(x.shape, (n, v, i, j, c) => at(y, ...place(n, v, i, j), c));
  };
}

function indexIn(shape: Shape, position: number): number[] {
  return shape.toReversed().map((size) => {
    const index = position % size;
    position = Math.floor(position / size);
    return index;
  }).reverse();
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

Deno.test("depthwise() matches its float64 reference and gradient", async (t) => {
  const cases: [k: number, shape: Shape][] = [
    [3, [2, 5, 4, 3]],
    [5, [1, 4, 7, 4]],
    [7, [2, 3, 2, 2]], // the kernel reaches beyond the map on every side
    [5, [1, 1, 1, 1]],
    [3, [3, 12, 2, 1]], // 36 rows: 32 a chunk of the weight gradient
    [1, [2, 3, 5, 3]],
    [9, [1, 3, 7, 4]], // its taps are two parts of the weight gradient
    [3, [2, 3, 8, 2]], // one strip
    [5, [1, 2, 57, 5]], // the last strip is of one
    [7, [1, 5, 19, 8]],
    [11, [1, 2, 23, 1]],
    [5, [2, 9, 17, 4]], // the last tile is of one
    [3, [1, 8, 16, 3]], // four tiles
  ];
  for (const [k, shape] of cases) {
    const C = shape[3];
    await t.step(
      `k = ${k}, [${shape}]`,
      () => checkOp(depthwise, depthwiseReference, [shape, [C, 1, k, k], [C]]),
    );
  }
});

Deno.test("depthwise() gives the same bits in a CPU adapter's tiles as by the kernels for GPUs", async (t) => {
  const cases: [taps: Shape, shape: Shape][] = [
    [[5, 5], [2, 14, 14, 8]],
    [[5, 5], [1, 7, 9, 3]],
    [[3, 3], [1, 5, 20, 4]],
    [[1, 1], [2, 3, 2, 4]],
    [[3, 5, 5], [2, 3, 6, 11, 4]],
    [[5, 3, 3], [1, 2, 9, 3, 5]], // the kernel reaches beyond the clip at both ends
  ];
  const devices = [await sharedDevice(), await gpuLike()];
  for (const [taps, shape] of cases) {
    const C = shape[shape.length - 1];
    const inputs = [shape, [C, 1, ...taps], [C], shape].map((shape, i) =>
      toTensor(random(shape, i))
    );
    await t.step(`[${taps}], [${shape}]`, async () => {
      const [tiled, plain] = await Promise.all(devices.map(async (device) => {
        const plan = await compile(device, ([x, weight, bias, dy]: Tensor[]) => {
          const y = depthwise(x, weight, bias);
          return [y, ...grad(sum(mul(y, dy)), [x, weight, bias])];
        }, inputs);
        const results = await readAll(device, plan.run(inputs));
        plan.destroy();
        return results;
      }));
      assert.deepEqual(tiled, plain);
    });
  }
});

Deno.test("maskedDepthwise() equals the dense convolution of the zeroed map, with its gradients", async (t) => {
  const cases: [
    name: string,
    k: number,
    s: number,
    C: number,
    grid: [number, number],
    kept: number[][],
  ][] = [
    ["a quarter, two samples", 5, 2, 3, [3, 3], [[4, 0], [7, 8]]],
    ["all visible, shuffled", 5, 2, 2, [2, 2], [[2, 0, 3, 1]]],
    ["one block of many", 5, 4, 2, [2, 2], [[3], [0]]],
    ["single cells", 5, 1, 4, [3, 4], [[0, 5, 1, 10, 11], [6, 2, 3, 7, 9]]],
    ["a wide grid, blocks of 4", 5, 4, 1, [1, 3], [[2, 1]]],
    ["a high grid, k = 7 over several blocks", 7, 2, 2, [5, 2], [[0, 9, 4, 2, 6], [1, 3, 5, 8, 7]]],
    ["k = 3", 3, 4, 2, [2, 2], [[1, 2], [0, 1]]],
    ["the only block", 7, 2, 1, [1, 1], [[0]]],
    ["70 blocks, 64 a chunk", 3, 1, 1, [9, 8], [
      Array.from({ length: 70 }, (_, i) => (7 * i + 2) % 72),
    ]],
    ["k = 1", 1, 2, 3, [2, 3], [[4, 0, 3]]],
    ["k = 9 over blocks of 1", 9, 1, 5, [3, 7], [[20, 3, 4, 9, 11, 2, 0], [1, 2, 3, 5, 8, 13, 19]]],
    ["k = 9 over blocks of 2", 9, 2, 4, [3, 4], [[0, 1, 6, 11, 7], [10, 2, 9, 5, 8]]],
    ["two strips a row", 5, 8, 3, [1, 3], [[2, 0], [1, 2]]],
    ["two strips a row, the first of two", 7, 6, 1, [2, 2], [[2, 1], [0, 1]]],
    ["blocks of 3, all taps of a part beside the block", 11, 3, 2, [2, 3], [[5, 1, 3]]],
  ];
  for (const [name, k, s, C, grid, kept] of cases) {
    const [keep, restore] = masks(grid[0] * grid[1], kept);
    const shape = [kept.length, kept[0].length, s, s, C];
    await t.step(name, () =>
      checkOp(
        (x, weight, bias, keep, restore) =>
          maskedDepthwise(x, weight, bias, { keep, restore, grid }),
        maskedReference(grid),
        [shape, [C, 1, k, k], [C], keep, restore],
      ));
  }
});

Deno.test("Depthwise convolutions refuse even kernels, other channels, and masks of another grid", () => {
  assert.throws(() => depthwise(zeros([1, 4, 4, 3]), zeros([3, 1, 4, 4]), zeros([3])), {
    name: "RangeError",
    message: "Cannot convolve [1,4,4,3] depthwise with [3,1,4,4]: it takes [3, 1, k, k], k odd",
  });
  assert.throws(() => depthwise(zeros([1, 4, 4, 3]), zeros([2, 1, 3, 3]), zeros([3])), RangeError);
  assert.throws(() => depthwise(zeros([1, 4, 4, 3]), zeros([3, 1, 3, 5]), zeros([3])), RangeError);
  const [keep, restore] = [zeros([1, 2], "u32"), zeros([1, 4], "u32")];
  const masked = (visible: Parameters<typeof maskedDepthwise>[3]) => () =>
    maskedDepthwise(zeros([1, 2, 2, 2, 3]), zeros([3, 1, 3, 3]), zeros([3]), visible);
  assert.throws(masked({ keep, restore, grid: [2, 3] }), RangeError);
  assert.throws(masked({ keep: zeros([1, 3], "u32"), restore, grid: [2, 2] }), {
    name: "RangeError",
    message: "Cannot place blocks [1,2,2,2,3] by keep [1,3] and restore [1,4]",
  });
});
