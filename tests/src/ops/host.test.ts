import assert from "node:assert/strict";
import { grad } from "../../../src/grad.ts";
import { inStage } from "../../../src/op.ts";
import { onHost } from "../../../src/ops/host.ts";
import { add, exp, mul, square } from "../../../src/ops/map.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { compile } from "../../../src/plan/plan.ts";
import { read, upload } from "../../../src/plan/read.ts";
import { type Tensor, tensor } from "../../../src/tensor.ts";
import { sharedDevice } from "../../check_op.ts";

/** Where the largest value is, and which: a decision that no kernel makes. */
function largest(x: Tensor): readonly Tensor[] {
  return inStage("choose", () =>
    onHost(
      "largest",
      ([values]) => {
        const value = Math.max(...values);
        return [new Uint32Array([values.indexOf(value)]), new Float32Array([value])];
      },
      [x],
      [{ shape: [1], dtype: "u32" }, { shape: [1], dtype: "f32" }],
    ));
}

Deno.test("onHost() takes values from the device and gives others back to it, in a row", async () => {
  const device = await sharedDevice();
  const plan = await compile(device, ({ x }) => {
    const [index, value] = largest(mul(x, x));
    const [, again] = largest(add(exp(x), value)); // before and after a call there are launches
    return { index, value, again: mul(again, 2) };
  }, { x: tensor([1, 2, 3]) });
  for (const values of [[1, -5, 3], [7, 2, 1]]) {
    for (const place of [tensor, (values: number[]) => upload(device, tensor(values))]) {
      const { index, value, again } = await plan.runAsync({ x: place(values) });
      const most = Math.max(...values.map((x) => x * x));
      assert.equal((await read(device, index))[0], values.findIndex((x) => x * x === most));
      assert.equal((await read(device, value))[0], most);
      const expected = 2 * (Math.exp(Math.max(...values)) + most);
      assert.ok(Math.abs((await read(device, again))[0] - expected) < 1e-5 * expected);
    }
  }
});

Deno.test("onHost() lets no gradient through, and grad() passes by", async () => {
  const device = await sharedDevice();
  const plan = await compile(device, ({ x }) => {
    const [, value] = largest(mul(x, x));
    return { dx: grad(sum(mul(square(x), value)), { x }).x };
  }, { x: tensor([1, 2, 3]) });
  const { dx } = await plan.runAsync({ x: tensor([1, 2, -3]) });
  assert.deepEqual([...await read(device, dx)], [18, 36, -54]); // 2 · x · 9, without 2 · x of the 9
});

Deno.test("a plan with a step on the host is described, timed and searched, but not run at once", async () => {
  const device = await sharedDevice();
  const x = tensor([1, 2, 3]);
  const plan = await compile(device, ({ x }) => ({ y: exp(largest(mul(x, 100))[1]) }), { x });
  assert.throws(() => plan.run({ x }), /^TypeError: Use runAsync: a step is computed on the host$/);
  assert.match(plan.describe(), /^\d+ choose largest \[1\]$/m);
  assert.equal(plan.dispatches, 2);
  assert.ok(
    (await plan.profile({ x })).some(({ op, stage }) => `${stage} ${op}` === "choose largest"),
  );
  assert.equal((await plan.firstNonFinite({ x }))?.op, "exp");
  assert.equal(await plan.firstNonFinite({ x: tensor([0, 0, 0.1]) }), undefined);
});

Deno.test("onHost() refuses results other than those that were announced", async () => {
  const device = await sharedDevice();
  const plan = await compile(device, ({ x }) => {
    const [y] = onHost("short", () => [new Float32Array(2)], [x], [{ shape: [3], dtype: "f32" }]);
    return { y };
  }, { x: tensor([1, 2, 3]) });
  await assert.rejects(plan.runAsync({ x: tensor([1, 2, 3]) }), {
    name: "RangeError",
    message:
      "Cannot take result 0 of short: f32 [3] was announced, and Float32Array of 2 values came",
  });
});
