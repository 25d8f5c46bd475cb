import assert from "node:assert/strict";
import { concat, permute, reshape, slice } from "../../../src/ops/shape.ts";
import { compile } from "../../../src/plan/plan.ts";
import { read } from "../../../src/plan/read.ts";
import { type Shape, tensor, zeros } from "../../../src/tensor.ts";
import { at, checkOp, fill, sharedDevice, type Values } from "../../check_op.ts";

Deno.test("reshape() keeps the values in order and costs no dispatch", async () => {
  await checkOp((x) => reshape(x, [3, 4]), ({ data }) => ({ data, shape: [3, 4] }), [[2, 6]]);
  const args = { x: tensor([1, 2, 3, 4]) };
  const { dispatches } = await compile(await sharedDevice(), ({ x }) => reshape(x, [2, 2]), args);
  assert.equal(dispatches, 0);
});

Deno.test("reshape() keeps indices indices", async () => {
  const x = reshape(tensor(new Uint32Array([1, 2 ** 32 - 1])), [2, 1]);
  assert.deepEqual(await read(await sharedDevice(), x), new Uint32Array([1, 2 ** 32 - 1]));
});

Deno.test("permute() reorders one to six axes", async (t) => {
  const cases: [shape: Shape, order: number[]][] = [
    [[5], [0]],
    [[3, 5], [1, 0]],
    [[2, 3, 4], [2, 0, 1]],
    [[2, 3, 4, 5], [0, 2, 1, 3]],
    [[2, 3, 2, 1, 4], [0, 1, 3, 2, 4]],
    [[2, 3, 2, 2, 3, 2], [5, 0, 3, 1, 4, 2]],
  ];
  for (const [shape, order] of cases) {
    const reference = (x: Values) =>
      fill(
        order.map((axis) => shape[axis]),
        (...index) => at(x, ...order.map((_, axis) => index[order.indexOf(axis)])),
      );
    await t.step(
      `[${shape}] by ${order}`,
      () => checkOp((x) => permute(x, order), reference, [shape]),
    );
  }
});

Deno.test("slice() cuts any axis at its start, middle and end", async (t) => {
  const cases: [axis: number, start: number, end: number][] = [
    [0, 0, 2],
    [1, 2, 4],
    [2, 4, 5],
    [1, 0, 4], // all of it
  ];
  for (const [axis, start, end] of cases) {
    const shape = [3, 4, 5].with(axis, end - start);
    const reference = (x: Values) =>
      fill(shape, (...index) => at(x, ...index.with(axis, index[axis] + start)));
    await t.step(
      `axis ${axis}, ${start}…${end}`,
      () => checkOp((x) => slice(x, axis, start, end), reference, [[3, 4, 5]]),
    );
  }
});

Deno.test("concat() joins tensors along any axis", async (t) => {
  const join = (axis: number) => (...parts: Values[]) => {
    const length = parts.reduce((total, { shape }) => total + shape[axis], 0);
    return fill(parts[0].shape.with(axis, length), (...index) => {
      let [part, i] = [0, index[axis]];
      while (i >= parts[part].shape[axis]) i -= parts[part++].shape[axis];
      return at(parts[part], ...index.with(axis, i));
    });
  };
  const cases: [axis: number, shapes: Shape[]][] = [
    [0, [[1, 3], [2, 3], [1, 3]]],
    [1, [[2, 1, 4], [2, 3, 4]]],
    [2, [[2, 3, 2], [2, 3, 1], [2, 3, 4]]],
    [0, [[4]]],
  ];
  for (const [axis, shapes] of cases) {
    await t.step(
      `${shapes.map((shape) => `[${shape}]`).join(" ")} along ${axis}`,
      () => checkOp((...parts) => concat(parts, axis), join(axis), shapes),
    );
  }
});

Deno.test("Shape ops refuse what does not fit", () => {
  assert.throws(() => reshape(zeros([2, 3]), [4]), {
    name: "RangeError",
    message: "Cannot reshape [2,3] to [4]: the number of values differs",
  });
  for (const order of [[0], [0, 0], [0, 1, 2], [0, 2]]) {
    assert.throws(() => permute(zeros([2, 3]), order), RangeError, `permute by ${order}`);
  }
  assert.throws(() => permute(zeros([1, 1, 1, 1, 1, 1, 1]), [6, 5, 4, 3, 2, 1, 0]), RangeError);
  for (const [start, end] of [[-1, 1], [1, 1], [2, 1], [0, 3]]) {
    assert.throws(() => slice(zeros([2, 3]), 0, start, end), RangeError, `slice ${start}…${end}`);
  }
  assert.throws(() => concat([zeros([2, 3]), zeros([2, 4])], 0), {
    name: "RangeError",
    message: "Cannot join [2,3] and [2,4] along 0",
  });
});
