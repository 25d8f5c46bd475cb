import assert from "node:assert/strict";
import { add, mul } from "../../../src/ops/map.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { reshape } from "../../../src/ops/shape.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll, upload } from "../../../src/plan/read.ts";
import { type Tensor, tensor } from "../../../src/tensor.ts";
import { sharedDevice } from "../../check_op.ts";

type Args = Record<string, Tensor>;

/** Runs a plan three times on its own results; the values of all results after each run. */
async function replay(fn: (args: Args) => Args, args: Record<string, number[]>, donate: string[]) {
  const device = await sharedDevice();
  const on = Object.fromEntries(
    Object.entries(args).map(([name, data]) => [name, upload(device, tensor(data))]),
  );
  const plan = await compile(device, fn, on, { donate });
  const history: Record<string, number[]>[] = [];
  for (let i = 0; i < 3; i++) {
    const results = plan.run(on);
    const data = await readAll(device, Object.values(results));
    history.push(Object.fromEntries(Object.keys(results).map((name, i) => [name, [...data[i]]])));
    for (const name of donate) assert.equal(bufferOf(results[name]), bufferOf(on[name]), name);
  }
  return { history, plan };
}

const bufferOf = ({ source }: Tensor) => source.kind === "device" ? source.buffer : undefined;

Deno.test("compile() lets an elementwise result take its donated argument's buffer", async () => {
  const { history, plan } = await replay(({ x, g }) => ({ x: add(x, g) }), {
    x: [1, 2, 3, 4],
    g: [1, 1, 1, 2],
  }, ["x"]);
  assert.deepEqual(history.map(({ x }) => x), [[2, 3, 4, 6], [3, 4, 5, 8], [4, 5, 6, 10]]);
  assert.equal(plan.buffers.size, 2);
});

Deno.test("compile() copies a donated argument's result where the argument is read later", async () => {
  const { history } = await replay(
    ({ x }) => {
      const y = mul(x, 2);
      return { x: y, total: sum(mul(sum(y), x)) };
    },
    { x: [1, 2] },
    ["x"],
  );
  assert.deepEqual(history, [
    { x: [2, 4], total: [18] },
    { x: [4, 8], total: [72] },
    { x: [8, 16], total: [288] },
  ]);
});

Deno.test("compile() does not let a product overwrite what it reads", async () => {
  const { history } = await replay(
    ({ x }) => ({ x: matmul(reshape(x, [2, 2]), reshape(x, [2, 2])) }),
    { x: [1, 1, 0, 1] },
    ["x"],
  );
  assert.deepEqual(history.map(({ x }) => x), [[1, 2, 0, 1], [1, 4, 0, 1], [1, 8, 0, 1]]);
});

Deno.test("compile() does not overwrite an argument that is also read broadcast", async () => {
  const { history } = await replay(
    ({ x }) => ({ x: reshape(add(reshape(x, [1, 4]), 0), [4]), y: add(reshape(x, [4, 1]), x) }),
    { x: [1, 2, 3, 4] },
    ["x"],
  );
  assert.deepEqual(history[2].y, [2, 3, 4, 5, 3, 4, 5, 6, 4, 5, 6, 7, 5, 6, 7, 8]);
});

Deno.test("compile() leaves a donated argument that is its own result", async () => {
  const { history, plan } = await replay(({ x, y }) => ({ x, y: add(x, y) }), { x: [1], y: [2] }, [
    "x",
    "y",
  ]);
  assert.deepEqual(history, [{ x: [1], y: [3] }, { x: [1], y: [4] }, { x: [1], y: [5] }]);
  assert.equal(plan.dispatches, 1);
});

Deno.test("compile() swaps donated arguments", async () => {
  const { history } = await replay(({ a, b }) => ({ a: b, b: a }), { a: [1], b: [2] }, ["a", "b"]);
  assert.deepEqual(history, [{ a: [2], b: [1] }, { a: [1], b: [2] }, { a: [2], b: [1] }]);
});

Deno.test("compile() returns a donated argument's old values beside the new", async () => {
  const { history } = await replay(
    ({ x }) => ({ old: x, x: add(x, 1), reshaped: reshape(x, [1, 1]) }),
    { x: [1] },
    ["x"],
  );
  assert.deepEqual(history, [1, 2, 3].map((i) => ({ old: [i], x: [i + 1], reshaped: [i] })));
});

Deno.test("compile() puts one result in the places of two donated arguments, and constants too", async () => {
  const { history } = await replay(
    ({ a, b }) => {
      const c = add(a, b);
      return { a: c, b: c, zero: tensor([0]) };
    },
    { a: [1], b: [2], zero: [5] },
    ["a", "b", "zero"],
  );
  assert.deepEqual(history, [3, 6, 12].map((c) => ({ a: [c], b: [c], zero: [0] })));
});

Deno.test("compile() takes over a donated argument that nothing reads", async () => {
  const { history } = await replay(
    ({ x }) => ({ x: matmul(reshape(x, [2, 2]), reshape(x, [2, 2])), unread: sum(x) }),
    {
      x: [1, 0, 0, 1],
      unread: [7],
    },
    ["unread"],
  );
  assert.deepEqual(history[2], { x: [1, 0, 0, 1], unread: [2] });
});

Deno.test("compile() donates by the beginning of a path", async () => {
  const device = await sharedDevice();
  const [a, b, c] = [1, 2, 3].map((value) => upload(device, tensor([value])));
  const args = { state: { a, list: [b] }, stateless: c };
  const twice = (x: Tensor) => mul(x, 2);
  const plan = await compile(
    device,
    ({ state, stateless }) => ({
      state: { a: twice(state.a), list: state.list.map(twice) },
      stateless: twice(stateless),
    }),
    args,
    { donate: ["state"] },
  );
  const results = plan.run(args);
  assert.equal(bufferOf(results.state.a), bufferOf(a));
  assert.equal(bufferOf(results.state.list[0]), bufferOf(b));
  assert.notEqual(bufferOf(results.stateless), bufferOf(c));
});

Deno.test("Donation refuses another buffer at run, and a buffer bound twice", async () => {
  const device = await sharedDevice();
  const [x, y] = [upload(device, tensor([1])), upload(device, tensor([2]))];
  const twice = ({ x }: Args) => ({ x: mul(x, 2) });
  const plan = await compile(device, twice, { x }, { donate: ["x"] });
  assert.throws(() => plan.run({ x: y }), {
    name: "TypeError",
    message: "Cannot pass another buffer as x, which is donated",
  });
  const sumOf = ({ x, y }: Args) => ({ x: add(x, y) });
  const refusal = {
    name: "RangeError",
    message: "Cannot donate x: the plan binds its buffer twice",
  };
  await assert.rejects(compile(device, sumOf, { x, y: x }, { donate: ["x"] }), refusal);
  const captured = compile(device, (args: Args) => sumOf({ ...args, y: x }), { x }, {
    donate: ["x"],
  });
  await assert.rejects(captured, refusal);
});
