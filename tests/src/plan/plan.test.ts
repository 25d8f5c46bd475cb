import assert from "node:assert/strict";
import type { Device } from "../../../src/device.ts";
import { inStage } from "../../../src/op.ts";
import { grad } from "../../../src/grad.ts";
import { add, broadcastTo, exp, gelu, log, mul, square, sub } from "../../../src/ops/map.ts";
import { layerNorm } from "../../../src/ops/layer_norm.ts";
import { linear, matmul } from "../../../src/ops/matmul.ts";
import { mean, sum } from "../../../src/ops/reduce.ts";
import { permute, reshape } from "../../../src/ops/shape.ts";
import { compile } from "../../../src/plan/plan.ts";
import { read, readAll, upload } from "../../../src/plan/read.ts";
import { type Tensor, tensor, zeros } from "../../../src/tensor.ts";
import { random, sameBits, sharedDevice, toTensor } from "../../check_op.ts";

const values = async (device: Device, ...tensors: Tensor[]) =>
  (await readAll(device, tensors)).map((data) => [...data]);

/** A small network with all kinds of steps, and the gradient of its loss. */
function network({ x, w, b }: { x: Tensor; w: Tensor; b: Tensor }) {
  const hidden = inStage("encode", () => gelu(linear(layerNorm(x, b, b, 1e-6), w, b)));
  const mixed = inStage("mix", () => permute(reshape(hidden, [2, 3, 8]), [1, 0, 2]));
  const loss = inStage("loss", () => mean(square(add(mixed, 0.5))));
  return { loss, hidden, grads: grad(loss, { w, b }) };
}

const network0 = () => {
  const [x, w, b] = [[6, 8], [8, 8], [8]].map((shape, i) => toTensor(random(shape, i)));
  return { x, w, b };
};

Deno.test("compile() plans what read() computes eagerly, part by part", async () => {
  const device = await sharedDevice();
  const args = network0();
  const plan = await compile(device, network, args);
  const planned = plan.run(args);
  const eager = network(args);
  const pairs = [[planned.loss, eager.loss], [planned.hidden, eager.hidden], [
    planned.grads.w,
    eager.grads.w,
  ], [planned.grads.b, eager.grads.b]];
  for (const [found, expected] of pairs) {
    sameBits(await read(device, found), await read(device, expected));
  }
});

Deno.test("run() replays with other values, bit for bit the same for the same ones", async () => {
  const device = await sharedDevice();
  const args = network0();
  const plan = await compile(device, network, args);
  const first = await read(device, plan.run(args).grads.w);
  const other = await read(device, plan.run({ ...args, x: toTensor(random([6, 8], 9)) }).grads.w);
  assert.notDeepEqual(first, other);
  sameBits(await read(device, plan.run(args).grads.w), first);
  assert.equal(plan.run(args), plan.results);
});

Deno.test("compile() drops equal steps and steps that nobody needs", async () => {
  const device = await sharedDevice();
  const x = tensor([1, 2, 3, 4], [2, 2]);
  const plan = await compile(device, ({ x }) => {
    matmul(exp(x), x); // unused
    return [matmul(x, x), matmul(x, x), reshape(matmul(x, x), [4])];
  }, { x });
  assert.equal(plan.dispatches, 1);
  assert.deepEqual(await values(device, ...plan.run({ x })), Array(3).fill([7, 10, 15, 22]));
});

Deno.test("run() binds device tensors in place, and goes back to the host's", async () => {
  const device = await sharedDevice();
  const [a, b] = [upload(device, tensor([1, 2])), upload(device, tensor([3, 4]))];
  const plan = await compile(device, ({ x, y }) => ({ z: sub(x, y), x }), {
    x: a,
    y: tensor([1, 1]),
  });
  const results = async (x: Tensor, y: Tensor) => {
    const { z, x: same } = plan.run({ x, y });
    return await values(device, z, same);
  };
  assert.deepEqual(await results(a, tensor([1, 1])), [[0, 1], [1, 2]]);
  assert.deepEqual(await results(b, a), [[2, 2], [3, 4]]);
  assert.deepEqual(await results(tensor([9, 9]), b), [[6, 5], [9, 9]]);
  assert.deepEqual(await results(a, a), [[0, 0], [1, 2]]);
  // What the host gave was not written into the buffers of a and b.
  assert.deepEqual(await values(device, a, b), [[1, 2], [3, 4]]);
});

Deno.test("run() keeps results until the next run, beside other plans that share scratch", async () => {
  const device = await sharedDevice();
  const args = network0();
  const [one, two] = [await compile(device, network, args), await compile(device, network, args)];
  const first = one.run(args);
  const before = await read(device, first.grads.b);
  const slots = new Set(device.scratch);
  const shared = one.buffers.intersection(two.buffers).intersection(slots);
  assert.ok(shared.size > 0, "the plans share no scratch");
  two.run({ ...args, x: toTensor(random([6, 8], 5)) });
  sameBits(await read(device, first.grads.b), before);
});

Deno.test("run() refuses arguments unlike those compiled for", async () => {
  const device = await sharedDevice();
  const x = tensor([1, 2, 3]);
  const plan = await compile(device, ({ x }: { x: Tensor }) => mul(x, 2), { x });
  assert.throws(() => plan.run({ x: zeros([3, 1]) }), {
    name: "RangeError",
    message: "Cannot pass f32 [3,1] as x, which was compiled as f32 [3]",
  });
  assert.throws(() => plan.run({ x: zeros([3], "u32") }), RangeError);
  assert.throws(() => plan.run({ x: mul(x, 2) }), TypeError);
  assert.throws(() => plan.run({} as { x: Tensor }), {
    name: "RangeError",
    message: "Cannot run a plan of 1 arguments with 0",
  });
  assert.throws(() => plan.run({ y: x } as unknown as { x: Tensor }), {
    name: "RangeError",
    message: "Cannot run the plan without its argument x",
  });
});

Deno.test("run() takes arguments by name, in any order", async () => {
  const device = await sharedDevice();
  const [a, b] = [tensor([3]), tensor([10])];
  const plan = await compile(device, ({ a, b }) => ({ y: sub(a, b) }), { a, b });
  assert.deepEqual([...await read(device, plan.run({ b, a }).y)], [-7]);
});

Deno.test("compile() refuses a tensor over the adapter's limit, naming tensor and stage", async () => {
  const device = await sharedDevice();
  const { maxStorageBufferBindingSize, maxBufferSize } = device.gpu.limits;
  const rows = Math.min(maxStorageBufferBindingSize, maxBufferSize) / 16 + 1;
  const large = inStage(
    "encode",
    () => exp(broadcastTo(tensor([1, 2, 3, 4]), [Math.ceil(rows), 4])),
  );
  await assert.rejects(compile(device, () => large, {}), ({ name, message }: Error) => {
    assert.equal(name, "RangeError");
    assert.match(
      message,
      /^Use a smaller batch, image or model: broadcast \[\d+,4\] in stage encode takes \d+ MiB/,
    );
    return true;
  });
});

Deno.test("compile() refuses a launch of more workgroups than the adapter takes", async () => {
  const device = await sharedDevice();
  const batch = device.gpu.limits.maxComputeWorkgroupsPerDimension + 1;
  const product = inStage("mix", () => matmul(zeros([batch, 1, 1]), zeros([batch, 1, 1])));
  await assert.rejects(compile(device, () => product, {}), {
    name: "RangeError",
    message: new RegExp(
      `^Use a smaller batch, image or model: matmul \\[${batch},1,1\\] in stage mix takes ${batch} workgroups`,
    ),
  });
});

Deno.test("firstNonFinite() names the op, its stage and its shape", async () => {
  const device = await sharedDevice();
  const plan = await compile(device, ({ x }) => {
    const logs = inStage("logs", () => log(x));
    return { y: sum(inStage("mix", () => matmul(logs, logs))), unharmed: sum(x) };
  }, { x: tensor([1, 2, 3, 4], [2, 2]) });
  assert.equal(await plan.firstNonFinite({ x: tensor([1, 2, 3, 4], [2, 2]) }), undefined);
  assert.deepEqual(await plan.firstNonFinite({ x: tensor([1, 0, 3, 4], [2, 2]) }), {
    op: "log",
    stage: "logs",
    shape: [2, 2],
  });
  assert.equal((await plan.firstNonFinite({ x: tensor([1e30, 2, 3, NaN], [2, 2]) }))?.op, "log");
});

Deno.test("peakBytes is the sum of all that a plan binds, less for values that share slots", async () => {
  const device = await sharedDevice();
  const x = zeros([64, 64]);
  const chain = (length: number) =>
    compile(device, ({ x }) => Array.from({ length }).reduce<Tensor>((y) => matmul(y, y), x), {
      x,
    });
  const plans = [await chain(1), await chain(3), await chain(9)];
  // x and the result; then one slot between, then two by turns.
  const values = plans.map(({ peakBytes }) => peakBytes / (64 * 64 * 4));
  assert.equal(values[0], 2);
  assert.ok(values[1] <= 4 && values[2] <= 4 && values[1] >= 3, `${values}`);
  for (const { peakBytes, buffers } of plans) {
    assert.equal(peakBytes, [...buffers].reduce((total, { size }) => total + size, 0));
  }
});

Deno.test("describe() and profile() give a line to every dispatch, with its stage", async () => {
  const device = await sharedDevice();
  const plan = await compile(device, network, network0());
  const lines = plan.describe().split("\n");
  assert.equal(lines.length, plan.dispatches);
  assert.match(lines[0], /^0 encode layer_norm \[6,8\]$/);
  const timings = await plan.profile(network0());
  assert.equal(timings.length, device.features.has("timestamp-query") ? plan.dispatches : 0);
  assert.ok(timings.every(({ milliseconds }) => milliseconds >= 0));
});
