import assert from "node:assert/strict";
import { mean, sum, sumOfSquares, sumTo } from "../../../src/ops/reduce.ts";
import { read } from "../../../src/plan/read.ts";
import { type Shape, sizeOf, stridesOf, tensor, zeros } from "../../../src/tensor.ts";
import { checkOp, close, gpuLike, sharedDevice, type Values } from "../../check_op.ts";

/** The plain loop: every value is added to the result that it belongs to. */
function sumReference(axes: readonly number[], result: Shape): (x: Values) => Values {
  return ({ data, shape }) => {
    const strides = stridesOf(shape);
    const kept = shape.map((size, axis) => axes.includes(axis) ? 1 : size);
    const own = stridesOf(kept);
    const total = new Float64Array(sizeOf(kept));
    data.forEach((value, i) => {
      const index = shape.map((size, axis) => Math.floor(i / strides[axis]) % size % kept[axis]);
      total[index.reduce((at, j, axis) => at + j * own[axis], 0)] += value;
    });
    return { data: total, shape: result };
  };
}

Deno.test("sum() adds over any group of axes", async (t) => {
  const cases: [shape: Shape, axes: number[], result: Shape][] = [
    [[2, 3, 4], [0, 1, 2], []],
    [[2, 3, 5], [2], [2, 3]],
    [[2, 3, 5], [1], [2, 5]],
    [[2, 3, 5], [0], [3, 5]],
    [[2, 3, 4, 5], [0, 2], [3, 5]],
    [[2, 3, 4, 5], [1, 3], [2, 4]],
    [[2, 3, 1, 5], [0, 1, 2], [5]],
    [[1, 1], [0], [1]],
    [[2, 64, 3], [1], [2, 3]], // one pass exactly
    [[2, 65, 3], [1], [2, 3]], // a second pass of two
    [[4097, 2], [0], [2]], // a third pass: 64² + 1
    [[2, 67, 8], [1], [2, 8]], // in fours
    [[3, 68], [1], [3]], // a long row in fours, which one pass makes four values
    [[2, 4160], [1], [2]], // 1040 fours, two passes
  ];
  for (const [target, open] of [["CPU", sharedDevice], ["GPU", gpuLike]] as const) {
    const device = await open();
    for (const [shape, axes, result] of cases) {
      await t.step(
        `[${shape}] over ${axes}, ${target}`,
        () => checkOp((x) => sum(x, axes), sumReference(axes, result), [shape], { device }),
      );
    }
  }
});

Deno.test("sum() keeps summed axes on demand, counts from the end, and takes all by default", async (t) => {
  await t.step(
    "keep",
    () => checkOp((x) => sum(x, [-1, 0], true), sumReference([0, 2], [1, 3, 1]), [[2, 3, 4]]),
  );
  await t.step("all", () => checkOp((x) => sum(x), sumReference([0, 1], []), [[3, 3]]));
});

Deno.test("mean() divides by the number of summed values", () =>
  checkOp((x) => mean(x, [1]), (x) => {
    const { data, shape } = sumReference([1], [2, 3])(x);
    return { data: data.map((value) => value / 7), shape };
  }, [[2, 7, 3]]));

Deno.test("sumOfSquares() adds the squares of all values", async (t) => {
  const reference = ({ data }: Values): Values => ({
    data: Float64Array.of(data.reduce((total, value) => total + value * value, 0)),
    shape: [],
  });
  for (const [target, open] of [["CPU", sharedDevice], ["GPU", gpuLike]] as const) {
    const device = await open();
    for (const shape of [[1], [3, 5], [64], [65], [68], [4097, 2]]) {
      await t.step(
        `[${shape}], ${target}`,
        () => checkOp(sumOfSquares, reference, [shape], { device }),
      );
    }
  }
});

Deno.test("sumTo() undoes every pattern of broadcasting", async (t) => {
  const cases: [from: Shape, to: Shape, axes: number[]][] = [
    [[2, 3], [2, 3], []],
    [[2, 3, 4], [], [0, 1, 2]],
    [[2, 3, 4], [4], [0, 1]],
    [[2, 3, 4], [2, 1, 4], [1]],
    [[2, 3, 2, 3, 2], [2, 1, 2, 1, 2], [1, 3]],
  ];
  for (const [from, to, axes] of cases) {
    await t.step(
      `[${from}] to [${to}]`,
      () => checkOp((x) => sumTo(x, to), sumReference(axes, to), [from]),
    );
  }
});

Deno.test("sum() of a million values of one sign loses no precision", async () => {
  const x = Float32Array.from({ length: 1_000_003 }, (_, i) => 1 + i % 7 / 8);
  const expected = x.reduce((total, value) => total + value, 0);
  close(await read(await sharedDevice(), sum(tensor(x))), [expected], 1e-7);
});

Deno.test("sum() covers more results than one row of 65535 workgroups holds", async () => {
  const rows = 65535 * 64 + 3;
  const x = Float32Array.from({ length: 2 * rows }, (_, i) => i % 509);
  const y = await read(await sharedDevice(), sum(tensor(x, [rows, 2]), [1]));
  assert.ok(y.every((value, i) => value === x[2 * i] + x[2 * i + 1]));
});

Deno.test("sum() refuses an axis that is not there", () => {
  assert.throws(() => sum(zeros([2, 3]), [2]), {
    name: "RangeError",
    message: "Cannot sum over axis 2 of shape [2,3]",
  });
  assert.throws(() => sum(zeros([2, 3]), [-3]), RangeError);
});
