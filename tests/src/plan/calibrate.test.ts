import assert from "node:assert/strict";
import type { Device } from "../../../src/device.ts";
import { apply, choose, type Dispatch, dispatch } from "../../../src/op.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { calibrate, type Measure } from "../../../src/plan/calibrate.ts";
import { read } from "../../../src/plan/read.ts";
import { trace } from "../../../src/plan/trace.ts";
import { type Tensor, zeros } from "../../../src/tensor.ts";
import { close, gpuLike, random, sharedDevice, toTensor } from "../../check_op.ts";

/** A device that measures, and how often it kept what it measured. */
async function measuring(features?: ReadonlySet<string>) {
  const device = await sharedDevice();
  const choices = new Map<string, string>();
  const kept: [string, string][][] = [];
  const calibration = {
    choices,
    keep: () => Promise.resolve(void kept.push([...choices])),
  };
  const measuringDevice: Device = {
    ...device,
    features: features ?? device.features,
    target: { cpu: false, broadcast: false, choices },
    calibration,
  };
  return { device: measuringDevice, choices, kept };
}

/** Launches of kernels by name, `wide` workgroups each. */
function candidatesOf(names: readonly ("softmax" | "softmaxGrad" | "shift")[], wide = 1) {
  return names.map((name): Dispatch => ({
    ...dispatch("softmax", { C: 1, stride: 1, rows: 1 }, [0, 1], [wide, 1, 1]),
    kernel: name,
  }));
}

/** An op of which several kernels may be the fastest. */
function fake(x: Tensor, key: string, candidates: readonly Dispatch[]): Tensor {
  return apply({
    name: "fake",
    key,
    outputs: [{ shape: [6], dtype: "f32" }],
    lowering: { kind: "kernel", dispatches: (target) => [choose(target, key, candidates)] },
  }, [x]);
}

/** Says the milliseconds of kernels, and notes what it was asked. */
function measure(milliseconds: Record<string, number>) {
  const asked: { kernels: string[]; bytes: readonly number[] }[] = [];
  const fn: Measure = (candidates, bytes) => {
    const kernels = candidates.map(({ kernel }) => kernel);
    asked.push({ kernels, bytes });
    return Promise.resolve(kernels.map((kernel) => milliseconds[kernel]));
  };
  return { asked, fn };
}

Deno.test("calibrate() keeps the fastest candidate of each key, and measures a key once", async () => {
  const { device, choices, kept } = await measuring();
  const all = candidatesOf(["softmax", "softmaxGrad", "shift"]);
  const x = zeros([5]);
  const graph = trace([
    fake(x, "one", all),
    fake(fake(x, "two", all.slice(0, 2)), "one", all),
    fake(x, "single", all.slice(1, 2)),
  ]);
  const { asked, fn } = measure({ softmax: 3, softmaxGrad: 2, shift: 1 });
  await calibrate(device, graph, fn);
  assert.deepEqual(Object.fromEntries(choices), { one: "shift", two: "softmaxGrad" });
  assert.deepEqual(asked.map(({ kernels }) => kernels.length).sort(), [2, 3]);
  assert.deepEqual(asked[0].bytes, [20, 24]);
  assert.equal(kept.length, 1);
  await calibrate(device, graph, fn);
  assert.deepEqual([asked.length, kept.length], [2, 1]);
  choices.set("one", "gone"); // a choice that is none any more
  await calibrate(device, graph, fn);
  assert.deepEqual([asked.length, choices.get("one")], [3, "shift"]);
});

Deno.test("calibrate() begins with what moves most bytes, all its launches together", async () => {
  const { device } = await measuring();
  const all = candidatesOf(["softmax", "shift"]);
  const graph = trace([
    fake(zeros([7]), "once", all),
    fake(zeros([5]), "twice", all),
    fake(zeros([6]), "twice", all),
    fake(zeros([9]), "large", all),
  ]);
  const { asked, fn } = measure({ softmax: 1, shift: 2 });
  await calibrate(device, graph, fn);
  assert.deepEqual(asked.map(({ bytes }) => bytes[0]), [20, 36, 28]);
});

Deno.test("calibrate() leaves the guess where nothing can be measured", async () => {
  const { device, choices, kept } = await measuring();
  const graph = trace([fake(zeros([5]), "one", candidatesOf(["softmax", "shift"]))]);
  await calibrate(device, graph, () => Promise.resolve(undefined));
  const { asked, fn } = measure({ softmax: 2, shift: 1 });
  await calibrate(device, graph, fn, 0); // no time
  await calibrate({ ...device, calibration: undefined }, graph, fn);
  assert.deepEqual([choices.size, kept.length, asked.length], [0, 0, 0]);
});

Deno.test("calibrate() tries no candidate that the adapter would refuse to launch", async () => {
  const { device, choices } = await measuring();
  const wide = candidatesOf(["shift"], device.gpu.limits.maxComputeWorkgroupsPerDimension + 1);
  const candidates = [...candidatesOf(["softmax"]), ...wide];
  const { asked, fn } = measure({ softmax: 2, shift: 1 });
  await calibrate(device, trace([fake(zeros([5]), "one", candidates)]), fn);
  assert.deepEqual(asked.map(({ kernels }) => kernels), [["softmax"]]);
  assert.equal(choices.get("one"), "softmax");
});

Deno.test("compile() times the variants of products, by either clock, and takes the fastest", async (t) => {
  const a = toTensor(random([20, 24], 1));
  const b = toTensor(random([24, 36], 2));
  const expected = await read(await gpuLike(), matmul(a, b));
  const timestamps = (await sharedDevice()).features.has("timestamp-query");
  for (const clock of ["timestamp-query", "none"]) {
    const ignore = clock !== "none" && !timestamps;
    await t.step({
      name: clock,
      ignore,
      fn: async () => {
        const { device, choices, kept } = await measuring(new Set([clock]));
        close(await read(device, matmul(a, b)), expected, 1e-6);
        const [[key, kernel]] = choices;
        assert.equal(key, "product 20 × 36 × 24 × 1 NN in fours");
        assert.ok(["matmul", "matmulTileFours"].includes(kernel), kernel);
        assert.deepEqual([choices.size, kept.length], [1, 1]);
        assert.equal(device.failure, undefined);
        close(await read(device, matmul(a, b)), expected, 1e-6);
        assert.equal(kept.length, 1);
      },
    });
  }
});

Deno.test("calibrate() skips what does not fit into memory, and the device goes on", async () => {
  const { device, choices } = await measuring();
  const x = zeros([5]);
  // The operand's bytes are those of the graph's value, which is never made.
  const graph = trace([fake(x, "one", candidatesOf(["softmax", "shift"]))]);
  const values = graph.values.map((value) => ({ ...value, shape: [2 ** 40] }));
  await calibrate(device, { ...graph, values });
  assert.equal(choices.size, 0);
  assert.equal(device.failure, undefined);
  assert.deepEqual([...await read(await gpuLike(), matmul(zeros([1, 2]), zeros([2, 1])))], [0]);
});
