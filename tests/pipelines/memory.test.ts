import assert from "node:assert/strict";
import { NonFiniteError } from "../../pipelines/finite.ts";
import { planStep } from "../../pipelines/step_plan.ts";
import { prepare, type StepMetrics, type Task } from "../../pipelines/train.ts";
import type { Device } from "../../src/device.ts";
import { mean } from "../../src/ops/reduce.ts";
import { add, square } from "../../src/ops/map.ts";
import { adamW, type Params } from "../../src/optim.ts";
import { type Tensor, tensor } from "../../src/tensor.ts";
import { entries, leaves } from "../../src/tree.ts";
import { close, sameBits, sharedDevice } from "../check_op.ts";
import { madeUpTask, smallRecipes } from "./made_up_task.ts";
import { scratch } from "./run_pretrain.ts";

const recipes = await smallRecipes(scratch);

/** Trains; metrics, weights, and what the trainer says. */
async function trained(device: Device, task: Task<Params, Params>) {
  const said: string[] = [];
  const { error } = console;
  console.error = (line: string) => said.push(line);
  try {
    const trainer = await prepare(device, task);
    const metrics: StepMetrics[] = [];
    for await (const group of trainer.run()) metrics.push(...group);
    const weights = await trainer.snapshot();
    trainer.destroy();
    return { metrics, weights: entries<Tensor>(weights), said, trainer };
  } finally {
    console.error = error;
  }
}

const dataOf = ({ source }: Tensor) => (source as { data: Float32Array }).data;
const limited = (device: Device, bindingBytes: number): Device => ({
  ...device,
  limits: { ...device.limits, bindingBytes },
});

for (const [name, recipe] of Object.entries(recipes)) {
  Deno.test(`${name}: blocks computed again leave every bit, and less in memory`, async () => {
    const device = await sharedDevice();
    const task = madeUpTask(recipe);
    const [kept, again] = [
      await trained(device, { ...task, recompute: false }),
      await trained(device, { ...task, recompute: true }),
    ];
    assert.ok(kept.metrics.every(({ loss }) => loss > 0));
    assert.deepEqual(
      again.metrics.map(({ loss, gradNorm }) => [loss, gradNorm]),
      kept.metrics.map(({ loss, gradNorm }) => [loss, gradNorm]),
    );
    kept.weights.forEach(([path, x], i) => sameBits(dataOf(again.weights[i][1]), dataOf(x), path));
    const peak = ({ trainer }: typeof kept) =>
      Math.max(...trainer.stages.map(({ bytes }) => bytes));
    assert.ok(peak(again) < peak(kept), `${peak(again)}, not below ${peak(kept)}`);
    // The same stages have flags: what a fault names does not depend on it.
    assert.deepEqual(
      again.trainer.stages.map(({ stage }) => stage),
      kept.trainer.stages.map(({ stage }) => stage),
    );
  });

  Deno.test(`${name}: a micro-batch in parts gives the same step as a whole one`, async () => {
    const device = await sharedDevice();
    const task = madeUpTask(recipe);
    const { largest, dispatches } = await planStep(device, task);
    const [whole, parts] = [
      await trained(device, task),
      await trained(limited(device, largest.bytes - 4), task),
    ];
    assert.deepEqual(whole.said, []);
    assert.equal(whole.trainer.parts, 1);
    assert.equal(parts.said.length, 1);
    const { parts: n } = parts.trainer;
    assert.match(
      parts.said[0],
      new RegExp(`^batch.micro=4 goes in ${n} parts of ${4 / n}, since `),
    );
    assert.match(parts.said[0], /, and .+ binds at most \d+ MiB$/);
    assert.ok(n === 2 || n === 4);
    assert.ok(parts.trainer.dispatches > dispatches);
    for (const figure of ["loss", "gradNorm"] as const) {
      const of = ({ metrics }: typeof whole) => metrics.map((step) => step[figure]);
      close(of(parts), of(whole), 1e-5, figure);
    }
    assert.deepEqual(
      parts.metrics.map(({ step, position }) => [step, position]),
      whole.metrics.map(({ step, position }) => [step, position]),
    );
    const all = ({ weights }: typeof whole) =>
      weights.filter(([path]) => path.startsWith("params.")).flatMap(([, x]) => [...dataOf(x)]);
    close(all(parts), all(whole), 1e-3, "parameters");
  });
}

Deno.test("prepare() refuses what no part of a micro-batch fits, or whose loss takes it whole", async () => {
  const device = await sharedDevice();
  const refusal = {
    name: "RangeError",
    message: /^Use a smaller batch, image or model: .+ takes \d+ MiB, and .+ binds at most 1 MiB$/,
  };
  await assert.rejects(prepare(limited(device, 64), madeUpTask(recipes.MCMAE)), refusal);
  const task = madeUpTask(recipes.MCMAE);
  const { largest } = await planStep(device, task);
  const small = limited(device, largest.bytes - 4);
  await assert.rejects(prepare(small, { ...task, separable: false }), refusal);
});

Deno.test("prepare() finds what is not finite in any part", async () => {
  const values = [1, 2, 3, 4, 5, 6, 7, NaN];
  const failure = await trained(limited(await sharedDevice(), 28), {
    params: { w: tensor([1]) },
    separable: true,
    loss: ({ params, batch }) =>
      mean(square(add(...leaves<Tensor>({ params, batch }) as [Tensor, Tensor]))),
    optimizer: adamW({ betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0 }),
    async *batches() {
      while (true) yield await Promise.resolve({ x: tensor(values, [8]) });
    },
    ...{ clipNorm: null, microBatch: 8, accumulate: 1, rate: () => 0.1, steps: 3 },
  }).then(() => undefined, (error) => error);
  assert.ok(failure instanceof NonFiniteError, `${failure}`);
  assert.deepEqual([failure.step, failure.position], [1, 8]);
});

Deno.test("planStep() tells what a trainer takes", async () => {
  const cases = [
    ["MCMAE", {}],
    ["MCMAE", { recompute: true, accumulate: 2, emaDecay: 0.9 }],
    ["fine-tuning", { accumulate: 2 }],
  ] as const;
  for (const [name, fields] of cases) {
    const device: Device = { ...await sharedDevice(), scratch: [] }; // as if newly opened
    const task = { ...madeUpTask(recipes[name]), ...fields };
    const planned = await planStep(device, task);
    const trainer = await prepare(device, task);
    assert.equal(planned.peakBytes, trainer.peakBytes);
    assert.equal(planned.dispatches, trainer.dispatches);
    assert.equal(planned.liveBytes, Math.max(...trainer.stages.map(({ bytes }) => bytes)));
    const { bytes } = planned;
    const known = new Map(trainer.memory.map(({ name, bytes }) => [name, bytes]));
    assert.deepEqual(
      known,
      new Map([
        ["parameters", bytes.parameters],
        ["optimizer state", bytes.state],
        ...bytes.average > 0 ? [["moving average", bytes.average]] as const : [],
        ["gradients", bytes.gradients],
        ["batch and values between", bytes.slots + bytes.other],
      ]),
    );
    trainer.destroy();
  }
});
