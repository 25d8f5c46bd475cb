/**
 * Measures what the engine promises: matmul throughput, host time a dispatch, a training step.
 *
 *     deno task bench [--json] [--only matmul,replay,…]
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Device, openDevice } from "../../src/device.ts";
import { add, gelu } from "../../src/ops/map.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { reshape } from "../../src/ops/shape.ts";
import { softmax } from "../../src/ops/attention.ts";
import { compile, type Plan } from "../../src/plan/plan.ts";
import { upload } from "../../src/plan/read.ts";
import { key, uniform } from "../../src/random.ts";
import { sizeOf, type Tensor, tensor } from "../../src/tensor.ts";
import { openImages } from "../../pipelines/images.ts";
import { pretrainTask } from "../../pipelines/pretrain.ts";
import { override } from "../../pipelines/recipe.ts";
import { findRecipe } from "../../pipelines/recipes/mod.ts";
import { prepare } from "../../pipelines/train.ts";
import { clips } from "./clips.ts";
import { overhead } from "./overhead.ts";

/** One measurement. */
type Line =
  & { readonly case: string; readonly ms: number }
  & Readonly<Record<string, number | string>>;

/** Median milliseconds a call, waiting for the device once for every `calls` calls. */
async function time(device: Device, calls: number, run: () => void, repeats = 5): Promise<number> {
  const wait = () => device.gpu.queue.onSubmittedWorkDone();
  run();
  await wait();
  const samples: number[] = [];
  for (let repeat = 0; repeat < repeats; repeat++) {
    const start = performance.now();
    for (let i = 0; i < calls; i++) run();
    await wait();
    samples.push((performance.now() - start) / calls);
  }
  return samples.sort((a, b) => a - b)[repeats >> 1];
}

function random(device: Device, shape: readonly number[], seed: number): Tensor {
  return upload(device, tensor(uniform(key(seed), sizeOf(shape)).map((u) => u - 0.5), shape));
}

async function* matmuls(device: Device): AsyncGenerator<Line> {
  const shapes = [[1024, 1024, 1024], [1568, 1024, 256], [256, 1024, 1568]];
  for (const [M, N, K] of shapes) {
    for (
      const [name, transposeA, transposeB] of [["", false, false], ["-nt", false, true], [
        "-tn",
        true,
        false,
      ]] as const
    ) {
      const args = {
        a: random(device, transposeA ? [K, M] : [M, K], 1),
        b: random(device, transposeB ? [N, K] : [K, N], 2),
      };
      const plan = await compile(
        device,
        ({ a, b }) => ({ c: matmul(a, b, { transposeA, transposeB }) }),
        args,
      );
      const ms = await time(device, 8, () => plan.run(args));
      const label = M === N && N === K ? `matmul-${M}${name}` : `matmul-${M}x${N}x${K}${name}`;
      yield { case: label, ms, gflops: 2 * M * N * K / ms / 1e6 };
    }
  }
}

/** Host time to encode and submit a plan of many small dispatches. */
async function* replay(device: Device): AsyncGenerator<Line> {
  const args = { x: random(device, [8, 8], 3) };
  const plan = await compile(device, ({ x }) => {
    let y = x;
    // Softmax cannot be fused with its like, so that each is a dispatch.
    for (let i = 0; i < 1000; i++) y = softmax(reshape(y, [8, 8]));
    return { y };
  }, args);
  const host: number[] = [];
  for (let i = 0; i < 15; i++) {
    const start = performance.now();
    plan.run(args);
    host.push(performance.now() - start);
    await device.gpu.queue.onSubmittedWorkDone();
  }
  const ms = host.sort((a, b) => a - b)[7];
  yield { case: "replay-1000", ms, us_per_dispatch: 1000 * ms / plan.dispatches };
}

async function* bandwidth(device: Device): AsyncGenerator<Line> {
  const args = { x: random(device, [1 << 22], 4) };
  const plan: Plan<typeof args, { y: Tensor }> = await compile(
    device,
    ({ x }) => ({ y: add(x, 1) }),
    args,
  );
  const ms = await time(device, 8, () => plan.run(args));
  yield { case: "add-4Mi", ms, gbytes_per_s: 2 * 4 * (1 << 22) / ms / 1e6 };
  const curve = await compile(device, ({ x }) => ({ y: gelu(x) }), args);
  const geluMs = await time(device, 8, () => curve.run(args));
  yield { case: "gelu-4Mi", ms: geluMs, gbytes_per_s: 2 * 4 * (1 << 22) / geluMs / 1e6 };
}

/** Whole training steps: forward, backward, AdamW; the data comes through the loader. */
async function* steps(device: Device): AsyncGenerator<Line> {
  const tiny = [
    "model.imageSize=224,224",
    "model.patchSizes=4,2,2",
    "model.embedDims=32,64,128",
    "model.depths=1,1,4",
    "batch.micro=8",
  ];
  const quick = override(findRecipe("quickstart"), ["data.workers=2"]);
  const cases = [
    ["step-quickstart", quick, []],
    ["step-tiny", quick, tiny],
    ["step-tiny-dense", quick, [...tiny, "model.evaluation=dense"]],
  ] as const;
  for (const [name, base, fields] of cases) {
    const recipe = override(base, [...fields, "schedule.steps=25"]);
    const task = pretrainTask(recipe, (await openImages(recipe.data)).train);
    const trainer = await prepare(device, task);
    // The first group of metrics waits for pipelines to be compiled.
    const metrics = (await Array.fromAsync(trainer.run())).flat().slice(1);
    const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1];
    const rate = median(metrics.map(({ imagesPerSecond }) => imagesPerSecond));
    yield {
      ...{ case: name, ms: 1000 * recipe.batch.micro / rate, images_per_s: rate },
      data_wait_percent: median(metrics.map(({ dataWait }) => 100 * dataWait)),
    };
  }
}

const CASES = { matmul: matmuls, replay, bandwidth, steps, clips, overhead };

function options() {
  try {
    return parseArgs({ options: { json: { type: "boolean" }, only: { type: "string" } } });
  } catch (error) {
    console.error((error as Error).message.split(". ")[0]);
    console.error("deno task bench [--json] [--only matmul,replay,bandwidth,steps,clips,overhead]");
    Deno.exit(2);
  }
}

const { values } = options();
const only = values.only?.split(",") ?? Object.keys(CASES);
const unknown = only.find((name) => !(name in CASES));
if (unknown) {
  console.error(`Unknown benchmark ${unknown}: choose from ${Object.keys(CASES).join(", ")}`);
  Deno.exit(2);
}
const device = await openDevice();
if (!values.json) console.log(`${device.name}, ${navigator.hardwareConcurrency} cores`);
for (const name of only) {
  for await (const line of CASES[name as keyof typeof CASES](device)) {
    if (values.json) console.log(JSON.stringify(line));
    else {
      const { case: label, ms, ...rest } = line;
      const figures = Object.entries(rest).map(([unit, value]) =>
        `${Number(value).toFixed(2)} ${unit}`
      );
      console.log(`${label.padEnd(24)}${ms.toFixed(2).padStart(10)} ms  ${figures.join("  ")}`);
    }
  }
}
