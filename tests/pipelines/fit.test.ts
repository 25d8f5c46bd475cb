import assert from "node:assert/strict";
import { NonFiniteError } from "../../pipelines/finite.ts";
import { fit, type FitOptions, type Fitted } from "../../pipelines/fit.ts";
import { readCheckpoint } from "../../pipelines/checkpoints.ts";
import { stage } from "../../pipelines/stage.ts";
import { initialWeights, prepare, type Task, type Trainer } from "../../pipelines/train.ts";
import { type Device, DeviceError, MemoryError, openDevice } from "../../src/device.ts";
import { mul, square, sub } from "../../src/ops/map.ts";
import { linear } from "../../src/ops/matmul.ts";
import { mean } from "../../src/ops/reduce.ts";
import { adamW } from "../../src/optim.ts";
import { key, uniform } from "../../src/random.ts";
import { loadSafetensors } from "../../src/safetensors.ts";
import { scalar, type Tensor, tensor } from "../../src/tensor.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { fullDisk } from "./full_disk.ts";

const [N, C, STEPS, EVERY] = [4, 8, 24, 5];

type Params = { readonly inner: Tensor; readonly outer: Tensor };
type Batch = { readonly x: Tensor; readonly scale: Tensor };

/** Two linear layers that learn to give nothing; `spoils` says at which position the first breaks. */
function taskWith(
  spoils: (position: number) => boolean,
  fields: Partial<Task<Params, Batch>> = {},
): Task<Params, Batch> {
  const encode = stage("encode", ({ params, batch }: { params: Params; batch: Batch }) => ({
    params,
    latent: mul(linear(batch.x, params.inner), batch.scale),
  }));
  const decode = stage(
    "decode",
    ({ params, latent }: ReturnType<typeof encode>) => linear(latent, params.outer),
  );
  const loss = stage("loss", (predicted: Tensor) => mean(square(sub(predicted, 0.5))));
  return {
    params: {
      inner: tensor(uniform(key(1), C * C), [C, C]),
      outer: tensor(uniform(key(2), C * C), [C, C]),
    },
    loss: (input) => loss(decode(encode(input))),
    optimizer: adamW({ betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0 }),
    clipNorm: null,
    async *batches(start) {
      for (let position = start;; position += N) {
        await Promise.resolve();
        const x = tensor(uniform(key(position), N * C), [N, C]);
        yield { x, scale: scalar(spoils(position) ? NaN : 1) };
      }
    },
    microBatch: N,
    accumulate: 1,
    rate: () => 1e-3,
    steps: STEPS,
    ...fields,
  };
}

interface Trained {
  readonly fitted: Fitted;
  readonly trainer: Trainer<Params>;
  readonly warnings: readonly string[];
  readonly device: Device;
}

async function train(
  folder: string,
  task: Task<Params, Batch>,
  policy: "stop" | "skip" | "rewind",
  options: Partial<FitOptions<Params>> & { readonly limit?: number } = {},
): Promise<Trained> {
  const device = await openDevice();
  const trainer = await prepare(device, task);
  const warnings: string[] = [];
  const { limit = 3, ...rest } = options;
  const recipe = {
    seed: 0,
    checkpoint: { every: EVERY, keep: 2 },
    faults: { policy, limit },
    report: { every: 1000, images: 1 },
  };
  try {
    const warn = (message: string) => warnings.push(message);
    const fitted = await fit(task, trainer, { folder, recipe, images: 100, warn, ...rest });
    return { fitted, trainer, warnings, device };
  } catch (error) {
    throw Object.assign(error as Error, { trainer, warnings });
  }
}

async function linesOf(path: string): Promise<Record<string, unknown>[]> {
  const text = await Deno.readTextFile(path);
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

async function modelOf(folder: string): Promise<string> {
  return (await Deno.readFile(`${folder}/checkpoint.safetensors`)).toHex();
}

const isBad = (position: number) => position === 12 * N; // the samples of step 13

Deno.test("fit() under stop names step, op and stage, and keeps the parameters from before", async () => {
  await using folder = await temporaryFolder();
  const failure = await train(folder.path, taskWith(isBad), "stop").then(() => undefined, (e) => e);
  assert.ok(failure instanceof NonFiniteError, `${failure}`);
  assert.match(
    failure.message,
    /^Loss or gradient is not finite at step 13: first in mul \[4,8\] of stage encode; resume with faults\.policy=skip or rewind, or a lower rate$/,
  );
  const { trainer } = failure as unknown as { trainer: Trainer<Params> };
  const kept = await trainer.snapshot();

  await using short = await temporaryFolder();
  const before = await train(short.path, taskWith(isBad, { steps: 12 }), "stop");
  assert.deepEqual(
    valuesOf(kept.params.inner),
    valuesOf((await before.trainer.snapshot()).params.inner),
  );
  assert.equal((await readCheckpoint(folder.path, initialWeights(taskWith(isBad))))!.step, 12);
  const steps = (await linesOf(`${folder.path}/metrics.jsonl`)).map(({ step }) => step);
  assert.deepEqual(steps, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assert.deepEqual(await linesOf(`${folder.path}/faults.jsonl`), [
    { step: 13, stage: "encode", op: "mul", shape: [4, 8], policy: "stop" },
  ]);
});

Deno.test("fit() under skip leaves the bad step's update out, and nothing else", async () => {
  await using folder = await temporaryFolder();
  const { fitted, warnings } = await train(folder.path, taskWith(isBad), "skip");
  assert.deepEqual(fitted.place, { step: STEPS, position: STEPS * N });
  assert.equal(fitted.faults, 1);
  assert.match(
    warnings[0],
    /^Loss .* step 13: first in mul .*; its update is left out \(fault 1 of 3\)$/,
  );
  const lines = await linesOf(`${folder.path}/metrics.jsonl`);
  assert.deepEqual(lines.map(({ step }) => step), Array.from({ length: STEPS }, (_, i) => i + 1));
  assert.deepEqual(lines.filter(({ loss }) => loss === null).map(({ step }) => step), [13]);

  // Steps by hand: all but the thirteenth.
  const device = await openDevice();
  const task = taskWith(isBad);
  const trainer = await prepare(device, task);
  await Array.fromAsync(trainer.run({ pauses: () => true })).catch(() => {});
  await Array.fromAsync(trainer.run({ from: { step: 13, position: 13 * N } }));
  const { weights } = (await readCheckpoint(folder.path, initialWeights(task)))!;
  const { params } = await trainer.snapshot();
  assert.deepEqual(valuesOf(weights.params.outer), valuesOf(params.outer));
});

Deno.test("fit() under rewind goes back to the checkpoint and on with other samples", async () => {
  await using folder = await temporaryFolder();
  const { fitted, warnings } = await train(folder.path, taskWith(isBad), "rewind");
  // Back from 13 to 10: three steps' samples are passed over.
  assert.deepEqual(fitted.place, { step: STEPS, position: (STEPS + 3) * N });
  assert.match(warnings[0], /; going back to step 10, on with other samples \(fault 1 of 3\)$/);
  const lines = await linesOf(`${folder.path}/metrics.jsonl`);
  assert.deepEqual(lines.map(({ step }) => step), Array.from({ length: STEPS }, (_, i) => i + 1));
  assert.ok(lines.every(({ loss }) => typeof loss === "number"));
  assert.equal((await linesOf(`${folder.path}/faults.jsonl`))[0].back_to, 10);

  // A run that meets the same samples in that order without a fault ends in the same bits.
  await using clean = await temporaryFolder();
  const jump = (position: number) => position < 10 * N ? position : position + 3 * N;
  const task = taskWith(() => false);
  await train(clean.path, {
    ...task,
    async *batches(start) {
      for (let position = start;; position += N) {
        const one = task.batches(jump(position));
        yield (await one.next()).value!;
        await one.return();
      }
    },
  }, "stop");
  assert.equal(await modelOf(folder.path), await modelOf(clean.path));
});

Deno.test("fit() rewinds to the start where nothing was saved, and resumes the same after it", async () => {
  await using folder = await temporaryFolder();
  const early = (position: number) => position === 2 * N;
  const { fitted } = await train(folder.path, taskWith(early), "rewind");
  assert.deepEqual(fitted.place, { step: STEPS, position: (STEPS + 3) * N });

  await using parts = await temporaryFolder();
  const task = taskWith(early);
  await train(parts.path, { ...task, steps: 10 }, "rewind");
  const checkpoint = await readCheckpoint(parts.path, initialWeights(task));
  assert.deepEqual([checkpoint!.step, checkpoint!.position], [10, 13 * N]);
  const device = await openDevice();
  const trainer = await prepare(device, task);
  trainer.load(checkpoint!.weights);
  await Array.fromAsync(trainer.run({ from: checkpoint }));
  const { weights } = (await readCheckpoint(folder.path, initialWeights(task)))!;
  const { params } = await trainer.snapshot();
  assert.deepEqual(valuesOf(weights.params.inner), valuesOf(params.inner));
});

Deno.test("fit() gives up at one fault more than the recipe bears", async () => {
  await using folder = await temporaryFolder();
  const often = taskWith((position) => position / N % 3 === 2);
  const failure = await train(folder.path, often, "skip", { limit: 2 })
    .then(() => undefined, (error) => error);
  assert.ok(failure instanceof NonFiniteError, `${failure}`);
  assert.equal(failure.step, 9);
  assert.match(failure.message, / \(faults\.limit = 2 is reached\); resume with /);
  assert.equal((await linesOf(`${folder.path}/faults.jsonl`)).length, 3);
});

Deno.test("fit() keeps the last checkpoints and the best, and the best model alone", async () => {
  await using folder = await temporaryFolder();
  let step = 0;
  const validate = () => Promise.resolve({ val_loss: [3, 1, 2, 4, 5][step++] });
  await train(folder.path, taskWith(() => false), "stop", { validate });
  const names = (await Array.fromAsync(Deno.readDir(`${folder.path}/checkpoints`)))
    .map(({ name }) => name).sort();
  assert.deepEqual(names, [10, 20, 24].map((n) => `step-${`${n}`.padStart(6, "0")}.safetensors`));
  const { metadata } = await loadSafetensors(`${folder.path}/best.safetensors`);
  assert.equal(metadata.step, "10");
  const lines = await linesOf(`${folder.path}/metrics.jsonl`);
  const validated = lines.filter(({ val_loss }) => val_loss !== undefined);
  assert.deepEqual(validated.map(({ step, val_loss }) => [step, val_loss]), [
    [5, 3],
    [10, 1],
    [15, 2],
    [20, 4],
    [24, 5],
  ]);
});

Deno.test("fit() remembers the best checkpoint that came to the disk", async () => {
  await using folder = await temporaryFolder();
  let nth = 0;
  const validate = () => Promise.resolve({ val_loss: [3, 1, 2, 4, NaN][nth++] });
  using _full = fullDisk((path) => path.includes("step-000010.safetensors"));
  await train(folder.path, taskWith(() => false), "stop", { validate });
  const { metadata } = await loadSafetensors(`${folder.path}/best.safetensors`);
  assert.equal(metadata.step, "15");
  const names = (await Array.fromAsync(Deno.readDir(`${folder.path}/checkpoints`)))
    .map(({ name }) => name).sort();
  assert.deepEqual(names, [15, 20, 24].map((n) => `step-${`${n}`.padStart(6, "0")}.safetensors`));
});

Deno.test("fit() draws and reports at the end, however the run ends", async () => {
  for (const [policy, last, how] of [["stop", 12, "failed"], ["skip", 13, "finished"]] as const) {
    await using folder = await temporaryFolder();
    const drawn: number[] = [];
    const reports: unknown[] = [];
    const options: Partial<FitOptions<Params>> = {
      draw: (step) => {
        drawn.push(step);
        return Promise.resolve({ png: new Uint8Array(8), width: 1, height: 1 });
      },
      report: (ended) => Promise.resolve(reports.push(ended)),
    };
    const task = taskWith(isBad, { steps: 13 });
    const error = await train(folder.path, task, policy, options).then(() => undefined, (e) => e);
    assert.deepEqual(drawn, [last]);
    assert.deepEqual(reports, [{ how, reason: error?.message, step: last }]);
    assert.equal((await readCheckpoint(folder.path, initialWeights(task)))!.step, last);
  }
});

Deno.test("fit() times as many steps as it is told to, whole ones", async () => {
  await using folder = await temporaryFolder();
  let told = 0;
  const onProfile = () => Promise.resolve(void told++);
  const { trainer } = await train(folder.path, taskWith(() => false), "stop", {
    ...{ profile: 12, onProfile },
  });
  assert.equal(trainer.profiled.steps, 12);
  assert.equal(trainer.profiled.timings.length, 12 * trainer.dispatches);
  assert.equal(told, 1);
});

Deno.test("readCheckpoint() notices a single changed bit", async () => {
  await using folder = await temporaryFolder();
  const task = taskWith(() => false, { steps: 10 });
  await train(folder.path, task, "stop");
  const path = `${folder.path}/checkpoints/step-000010.safetensors`;
  const bytes = await Deno.readFile(path);
  bytes[bytes.length - 9] ^= 1;
  await Deno.writeFile(path, bytes);
  const warnings: string[] = [];
  const found = await readCheckpoint(folder.path, initialWeights(task), (m) => warnings.push(m));
  assert.equal(found!.step, 5);
  assert.deepEqual(warnings, [
    `Cannot read ${path}: its values are not those that were written; ` +
    "going back to the checkpoint before",
  ]);
});

Deno.test("fit() averages the parameters as a float64 loop does", async () => {
  await using folder = await temporaryFolder();
  const task = taskWith(() => false, { steps: 6, emaDecay: 0.8 });
  const device = await openDevice();
  const trainer = await prepare(device, task);
  let expected = valuesOf(task.params.inner);
  for await (const _ of trainer.run({ pauses: () => true })) {
    const now = valuesOf((await trainer.snapshot()).params.inner);
    expected = expected.map((old, i) => 0.8 * old + 0.2 * now[i]);
  }
  const { ema } = await trainer.snapshot();
  const average = valuesOf((ema as Params).inner);
  average.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-6));

  await train(folder.path, task, "stop");
  const { tensors } = await loadSafetensors(`${folder.path}/ema.safetensors`);
  assert.deepEqual([...tensors.get("inner")!.data], average);
});

Deno.test("fit() ends after the step at hand when it is told to, and saves it", async () => {
  await using folder = await temporaryFolder();
  const controller = new AbortController();
  const progress = { update: ({ step }: { step: number }) => step >= 7 && controller.abort() };
  const { fitted } = await train(folder.path, taskWith(() => false), "stop", {
    signal: controller.signal,
    progress: { ...progress, stop() {} } as FitOptions<Params>["progress"],
  });
  assert.ok(fitted.place.step >= 7 && fitted.place.step < STEPS);
  const task = taskWith(() => false);
  const saved = await readCheckpoint(folder.path, initialWeights(task));
  assert.equal(saved!.step, fitted.place.step);
});

Deno.test("fit() survives a full disk: the old checkpoint stays, training goes on", async () => {
  await using folder = await temporaryFolder();
  using _full = fullDisk((path) => path.includes("step-000010.safetensors"));
  const { warnings } = await train(folder.path, taskWith(() => false, { steps: 12 }), "stop");
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0],
    /^Cannot write .*checkpoints\/step-000010\.safetensors: No space left on device.*; training goes on$/,
  );
  const names = (await Array.fromAsync(Deno.readDir(`${folder.path}/checkpoints`)))
    .map(({ name }) => name).sort();
  assert.deepEqual(names, ["step-000005.safetensors", "step-000012.safetensors"]);
});

Deno.test("fit() fails when the last checkpoint cannot be written, and the one before stays", async () => {
  await using folder = await temporaryFolder();
  await Deno.mkdir(`${folder.path}/checkpoints`);
  const target = `${folder.path}/checkpoints/step-000007.safetensors.tmp`;
  await Deno.mkdir(target); // cannot be opened, nor removed while it holds a file
  await Deno.writeTextFile(`${target}/file`, "");
  const task = taskWith(() => false, { steps: 7 });
  const failure = await train(folder.path, task, "stop").then(() => undefined, (error) => error);
  assert.match(failure.message, /^Cannot write .*step-000007\.safetensors: /);
  assert.equal((await readCheckpoint(folder.path, initialWeights(task)))!.step, 5);
});

Deno.test("fit() says which checkpoint is safe when the device is lost", async () => {
  await using folder = await temporaryFolder();
  const device = await openDevice();
  const task = taskWith(() => false);
  const trainer = await prepare(device, task);
  const failure = await fit(task, trainer, {
    folder: folder.path,
    recipe: {
      seed: 0,
      checkpoint: { every: EVERY, keep: 2 },
      faults: { policy: "stop", limit: 0 },
      report: { every: 1000, images: 1 },
    },
    images: 100,
    progress: {
      update: ({ step }) => {
        if (step === 10) device.gpu.destroy();
      },
      stop() {},
    },
  }).then(() => undefined, (error) => error);
  assert.ok(failure instanceof DeviceError, `${failure}`);
  assert.match(
    failure.message,
    /^The device was lost \(.+\): .*; the checkpoint of step 5 is safe, and --resume goes on from it; if memory ran out, lower batch\.micro = 4$/,
  );
  assert.equal((await readCheckpoint(folder.path, initialWeights(task)))!.step, 5);
});

Deno.test("prepare() says when memory does not suffice", async () => {
  const device = await openDevice();
  const exhausted = {
    ...device,
    // An adapter whose memory is full: every scope that asks for it finds that.
    gpu: new Proxy(device.gpu, {
      get(gpu, name) {
        if (name === "pushErrorScope") {
          return (filter: GPUErrorFilter) => scopes.push(filter);
        }
        if (name === "popErrorScope") {
          const error = () => new GPUOutOfMemoryError("not enough memory left");
          return () => Promise.resolve(scopes.pop() === "out-of-memory" ? error() : null);
        }
        const value = Reflect.get(gpu, name);
        return typeof value === "function" ? value.bind(gpu) : value;
      },
    }),
  };
  const scopes: GPUErrorFilter[] = [];
  const failure = await prepare(exhausted, taskWith(() => false))
    .then(() => undefined, (error) => error);
  assert.ok(failure instanceof MemoryError, `${failure}`);
  assert.match(failure.message, /^Out of device memory: not enough memory left$/);
});

function valuesOf({ source }: Tensor): number[] {
  assert.ok(source.kind === "host");
  return [...source.data];
}
