import assert from "node:assert/strict";
import { grad } from "../../src/grad.ts";
import { apply, inStage } from "../../src/op.ts";
import { add, exp, isFinite, mul, square, sub } from "../../src/ops/map.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { sum } from "../../src/ops/reduce.ts";
import { reshape, slice } from "../../src/ops/shape.ts";
import { compile } from "../../src/plan/plan.ts";
import { readAll } from "../../src/plan/read.ts";
import { type Tensor, tensor, zeros } from "../../src/tensor.ts";
import { sharedDevice } from "../check_op.ts";

const values = async (...tensors: Tensor[]) =>
  (await readAll(await sharedDevice(), tensors)).map((data) => [...data]);

Deno.test("grad() of Σ x² is 2x, in a tree like the parameters", async () => {
  const params = { a: { b: tensor([1, -2]) }, c: [tensor([3])] };
  const loss = add(sum(square(params.a.b)), sum(square(params.c[0])));
  const slopes = grad(loss, params);
  assert.deepEqual(Object.keys(slopes), ["a", "c"]);
  assert.deepEqual(await values(slopes.a.b, slopes.c[0]), [[2, -4], [6]]);
});

Deno.test("grad() of a quadratic form is (A + Aᵀ) x", async () => {
  const A = tensor([1, 2, 3, 4], [2, 2]);
  const x = tensor([5, 7], [2, 1]);
  const loss = reshape(matmul(x, matmul(A, x), { transposeA: true }), []);
  const { x: dx, A: dA } = grad(loss, { x, A });
  const [slope, outer] = await values(dx, dA);
  assert.deepEqual(slope, [2 * 5 + 5 * 7, 5 * 5 + 8 * 7]);
  assert.deepEqual(outer, [25, 35, 35, 49]);
});

Deno.test("grad() adds what reaches a value by several ways, in either order of use", async () => {
  const x = tensor([2, 3]);
  const y = mul(x, x); // both operands at once
  const loss = sum(add(mul(y, x), sub(exp(sub(x, x)), y))); // Σ x³ + 1 − x²
  assert.deepEqual(await values(grad(loss, x)), [[3 * 4 - 2 * 2, 3 * 9 - 2 * 3]]);
});

Deno.test("grad() reaches values inside the graph, not only its leaves", async () => {
  const x = tensor([1, 2]);
  const y = mul(x, 3);
  const slopes = grad(sum(square(y)), { x, y });
  assert.deepEqual(await values(slopes.x, slopes.y), [[18, 36], [6, 12]]);
});

Deno.test("grad() gives zeros for what the loss does not depend on", async () => {
  const [x, unused] = [tensor([1, 2]), tensor([1, 2, 3, 4], [2, 2])];
  const blocked = sum(mul(isFinite(unused), 2)); // depends on it, but has no slope
  const slopes = grad(add(sum(x), blocked), { x, unused });
  assert.deepEqual(slopes.unused.shape, [2, 2]);
  assert.deepEqual(await values(slopes.x, slopes.unused), [[1, 1], [0, 0, 0, 0]]);
});

Deno.test("grad() takes a loss of one value of any shape, and a leaf that is the loss", async () => {
  const x = tensor([4], [1, 1]);
  const loss = square(x);
  const slopes = grad(loss, { x, loss });
  assert.deepEqual(await values(slopes.x, slopes.loss), [[8], [1]]);
  assert.deepEqual(slopes.loss.shape, [1, 1]);
});

Deno.test("grad() fills what slices leave out with zeros", async () => {
  const x = tensor([1, 2, 3, 4]);
  assert.deepEqual(await values(grad(sum(square(slice(x, 0, 1, 3))), x)), [[0, 4, 6, 0]]);
});

Deno.test("grad() of a chain deeper than the stack does not recurse", async () => {
  const x = tensor([1]);
  let y: Tensor = x;
  for (let i = 0; i < 20000; i++) y = reshape(y, i % 2 ? [1] : [1, 1]);
  const device = await sharedDevice();
  const plan = await compile(device, () => ({ dx: grad(sum(square(y)), x) }), {});
  assert.deepEqual((await readAll(device, [plan.run({}).dx]))[0], Float32Array.of(2));
});

Deno.test("grad() labels what it makes with the stage that it differentiates", () => {
  const x = tensor([1, 2]);
  const y = inStage("encode", () => exp(x));
  assert.equal(grad(sum(y), x).stage, "encode backward");
});

Deno.test("grad() refuses a loss of several values, and an op without a gradient", () => {
  assert.throws(() => grad(zeros([2, 3]), zeros([2])), {
    name: "RangeError",
    message: "Cannot differentiate a loss of shape [2,3]: it must be one value",
  });
  const x = tensor([1]);
  const y = apply({
    name: "oracle",
    key: "oracle",
    outputs: [{ shape: [1], dtype: "f32" }],
    lowering: { kind: "view" },
  }, [x]);
  assert.throws(() => grad(sum(y), x), {
    name: "TypeError",
    message: "Cannot differentiate oracle: it has no gradient",
  });
});
