import assert from "node:assert/strict";
import { grad } from "../../../src/grad.ts";
import { mul } from "../../../src/ops/map.ts";
import { maxPool } from "../../../src/ops/max_pool.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { readAll } from "../../../src/plan/read.ts";
import { tensor, zeros } from "../../../src/tensor.ts";
import { at, checkOp, fill, sharedDevice, type Values } from "../../check_op.ts";

function reference(side: number, stride: number) {
  return (x: Values): Values => {
    const [n, H, W, C] = x.shape;
    const count = (length: number) => Math.floor((length - side) / stride) + 1;
    return fill([n, count(H), count(W), C], (n, h, w, c) => {
      const cells = Array.from(
        { length: side * side },
        (_, i) => at(x, n, h * stride + Math.floor(i / side), w * stride + i % side, c),
      );
      return Math.max(...cells);
    });
  };
}

Deno.test("maxPool() matches its float64 reference and gradient", async (t) => {
  const cases: [shape: [number, number, number, number], side: number, stride: number][] = [
    [[2, 4, 6, 3], 2, 2],
    [[1, 5, 7, 4], 2, 2], // the last row and column are in no window
    [[2, 5, 4, 2], 1, 2],
    [[1, 8, 7, 2], 3, 4],
    [[1, 2, 2, 1], 2, 2],
  ];
  for (const [shape, side, stride] of cases) {
    await t.step(
      `[${shape}], windows of ${side}, ${stride} apart`,
      () => checkOp((x) => maxPool(x, side, stride), reference(side, stride), [shape]),
    );
  }
});

Deno.test("maxPool() gives the gradient to the first of equal values", async () => {
  const x = tensor([3, 3, 5, 1, 3, 3, 5, 5, -1, -1, -2, -2, -1, 0, -2, -2], [1, 4, 4, 1]);
  const y = maxPool(x, 2);
  const [values, dx] = await readAll(await sharedDevice(), [
    y,
    grad(sum(mul(y, tensor([1, 2, 3, 4], [1, 2, 2, 1]))), { x }).x,
  ]);
  assert.deepEqual([...values], [3, 5, 0, -2]);
  assert.deepEqual([...dx], [1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 3, 0, 0]);
});

Deno.test("maxPool() refuses windows that overlap, and maps smaller than one", () => {
  assert.throws(() => maxPool(zeros([1, 4, 4, 1]), 3, 2), {
    name: "RangeError",
    message: "Cannot pool [1,4,4,1] by windows of 3, 2 apart",
  });
  assert.throws(() => maxPool(zeros([1, 1, 4, 1]), 2), RangeError);
  assert.throws(() => maxPool(zeros([4, 4, 1]), 2), RangeError);
});
