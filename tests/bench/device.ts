/**
 * What the adapter itself can do: its ceilings, and the price of talking to it.
 *
 * @module
 */
import { createBuffer, type Device, pipelineOf, readBuffers } from "../../src/device.ts";
import { workgroups } from "../../src/op.ts";
import { softmax } from "../../src/ops/attention.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { reshape } from "../../src/ops/shape.ts";
import { compile } from "../../src/plan/plan.ts";
import copySource from "./copy.wgsl" with { type: "text" };
import { type Ceilings, free, type Line, median, random, time, timeFunction } from "./measure.ts";

/** Bytes of a large copy: past every cache, and within what any adapter binds. */
const LARGE = 64 * 2 ** 20;

/** Measures a large copy and large products; everything else is a share of them. */
export async function measureCeilings(device: Device): Promise<Ceilings> {
  const copyMs = await timeCopy(device);
  const M = device.target.cpu ? 1024 : 4096;
  const args = { a: random(device, [M, M], 1), b: random(device, [M, M], 2) };
  const rates: number[] = [];
  for (const options of [{}, { transposeB: true }, { transposeA: true }]) {
    const ms = await timeFunction(device, ({ a, b }) => ({ c: matmul(a, b, options) }), args);
    rates.push(2 * M ** 3 / ms / 1e6);
  }
  free(Object.values(args));
  return { copy: 2 * LARGE / copyMs / 1e6, matmul: Math.max(...rates) };
}

/** Milliseconds of a kernel that copies fours. */
async function timeCopy(device: Device): Promise<number> {
  const { gpu } = device;
  const [x, y] = ["x", "y"].map((name) => createBuffer(device, LARGE, name));
  const size = LARGE / 16;
  const pipeline = pipelineOf(device, copySource, { size }, "copy");
  const bindGroup = gpu.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [x, y].map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const ms = await time(device, () => {
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(...workgroups(size));
    pass.end();
    gpu.queue.submit([encoder.finish()]);
  });
  x.destroy();
  y.destroy();
  return ms;
}

/** Ceilings, uploads, read-backs, and the host's time for a dispatch. */
export async function* adapter(device: Device, ceilings: Ceilings): AsyncGenerator<Line> {
  const { gpu } = device;
  yield {
    ...{ case: "copy-kernel", ms: 2 * LARGE / ceilings.copy / 1e6, gbytes_per_s: ceilings.copy },
  };
  const [x, y] = ["x", "y"].map((name) => createBuffer(device, LARGE, name));
  const copied = await time(device, () => {
    const encoder = gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(x, 0, y, 0, LARGE);
    gpu.queue.submit([encoder.finish()]);
  });
  yield { case: "copy-buffer", ms: copied, gbytes_per_s: 2 * LARGE / copied / 1e6 };

  const data = new Float32Array(LARGE / 16);
  const uploaded = await time(device, () => {
    gpu.queue.writeBuffer(x, 0, data);
    gpu.queue.submit([]);
  });
  yield { case: "upload-4Mi", ms: uploaded, gbytes_per_s: data.byteLength / uploaded / 1e6 };
  for (const [name, bytes] of [["readback-16", 16], ["readback-4Mi", data.byteLength]] as const) {
    const samples: number[] = [];
    for (let i = 0; i < 7; i++) {
      const start = performance.now();
      await readBuffers(device, [{ buffer: x, bytes }]);
      samples.push(performance.now() - start);
    }
    yield { case: name, ms: median(samples) };
  }
  x.destroy();
  y.destroy();
  yield* dispatches(device);
}

const DISPATCHES = 1000;

/** Host time to encode and submit a plan of many small dispatches, and the same calls without a plan. */
async function* dispatches(device: Device): AsyncGenerator<Line> {
  const { gpu } = device;
  const args = { x: random(device, [8, 8], 3) };
  const plan = await compile(device, ({ x }) => {
    let y = x;
    // Softmax cannot be fused with its like, so that each is a dispatch.
    for (let i = 0; i < DISPATCHES; i++) y = softmax(reshape(y, [8, 8]));
    return { y };
  }, args);
  const [x, y] = ["x", "y"].map((name) => createBuffer(device, 16, name));
  const pipeline = pipelineOf(device, copySource, { size: 1 }, "copy");
  // Each of its own, as a plan's are.
  const bindGroups = Array.from({ length: DISPATCHES }, (_, i) =>
    gpu.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: (i % 2 ? [y, x] : [x, y]).map((buffer, binding) => ({
        binding,
        resource: { buffer },
      })),
    }));
  const bare = () => {
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    for (let i = 0; i < DISPATCHES; i++) {
      pass.setBindGroup(0, bindGroups[i]);
      pass.dispatchWorkgroups(1, 1, 1);
    }
    pass.end();
    gpu.queue.submit([encoder.finish()]);
  };
  const host: number[][] = [[], []];
  for (let i = 0; i < 15; i++) {
    for (const [which, run] of [() => plan.run(args), bare].entries()) {
      const start = performance.now();
      run();
      host[which].push(performance.now() - start);
      await gpu.queue.onSubmittedWorkDone();
    }
  }
  const [ms, bareMs] = host.map(median);
  yield { case: "replay-1000", ms, us_per_dispatch: 1000 * ms / plan.dispatches };
  yield { case: "replay-1000-bare", ms: bareMs, us_per_dispatch: 1000 * bareMs / DISPATCHES };
  plan.destroy();
  x.destroy();
  y.destroy();
  free(Object.values(args));
}
