import assert from "node:assert/strict";
import { NonFiniteError } from "../../pipelines/finite.ts";
import { prepare, type StepMetrics, type Task, type Weights } from "../../pipelines/train.ts";
import { openDevice } from "../../src/device.ts";
import { square, sub } from "../../src/ops/map.ts";
import { linear } from "../../src/ops/matmul.ts";
import { mean } from "../../src/ops/reduce.ts";
import { adamW } from "../../src/optim.ts";
import { key, uniform } from "../../src/random.ts";
import { scalar, type Tensor, tensor } from "../../src/tensor.ts";
import { leaves } from "../../src/tree.ts";

const [N, IN, OUT, ACCUMULATE, STEPS] = [4, 3, 2, 2, 12];
const SETTINGS = { betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0.1 } as const;
const CLIP = 0.5;
const rate = (step: number) => 0.02 * (1 + step % 3);

type Batch = { readonly x: Tensor; readonly y: Tensor };
type Params = {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly offset: Tensor; // frozen
};

const initial = {
  weight: uniform(key(1), OUT * IN),
  bias: uniform(key(2), OUT),
  offset: new Float32Array([0.3, -0.2]),
};

function batchAt(position: number): { x: Float32Array; y: Float32Array } {
  return { x: uniform(key(100 + position), N * IN), y: uniform(key(500 + position), N * OUT) };
}

/** A linear regression; counts the generators of batches that are still open. */
function regression(spoil: (position: number) => number = () => 0) {
  const open = { count: 0 };
  const task: Task<Params, Batch> = {
    params: {
      weight: tensor(initial.weight, [OUT, IN]),
      bias: tensor(initial.bias, [OUT]),
      offset: tensor(initial.offset, [OUT]),
    },
    frozen: (path) => path === "offset",
    loss: ({ params: { weight, bias, offset }, batch: { x, y } }) =>
      mean(square(sub(sub(linear(x, weight, bias), y), offset))),
    optimizer: adamW(SETTINGS),
    clipNorm: CLIP,
    async *batches(start) {
      open.count++;
      try {
        for (let position = start;; position += N) {
          const { x, y } = batchAt(position);
          x[0] += spoil(position);
          yield { x: tensor(x, [N, IN]), y: tensor(y, [N, OUT]) };
        }
      } finally {
        open.count--;
      }
    },
    microBatch: N,
    accumulate: ACCUMULATE,
    rate,
    steps: STEPS,
  };
  return { task, open };
}

/** The same in plain float64 loops; the parameters are weights, then biases. */
function reference(steps: number) {
  const p = [...initial.weight, ...initial.bias];
  const m = p.map(() => 0);
  const v = p.map(() => 0);
  const [beta1, beta2] = SETTINGS.betas;
  const metrics: { loss: number; gradNorm: number }[] = [];
  for (let step = 1; step <= steps; step++) {
    const g = p.map(() => 0);
    let loss = 0;
    for (let part = 0; part < ACCUMULATE; part++) {
      const { x, y } = batchAt(((step - 1) * ACCUMULATE + part) * N);
      const share = 1 / (N * OUT * ACCUMULATE);
      for (let n = 0; n < N; n++) {
        for (let o = 0; o < OUT; o++) {
          let error = p[OUT * IN + o] - y[n * OUT + o] - initial.offset[o];
          for (let i = 0; i < IN; i++) error += p[o * IN + i] * x[n * IN + i];
          loss += share * error ** 2;
          for (let i = 0; i < IN; i++) g[o * IN + i] += 2 * share * error * x[n * IN + i];
          g[OUT * IN + o] += 2 * share * error;
        }
      }
    }
    const gradNorm = Math.hypot(...g);
    metrics.push({ loss, gradNorm });
    const gain = Math.min(1, CLIP / (gradNorm + 1e-6));
    const lr = rate(step - 1);
    p.forEach((_, j) => {
      m[j] = beta1 * m[j] + (1 - beta1) * gain * g[j];
      v[j] = beta2 * v[j] + (1 - beta2) * (gain * g[j]) ** 2;
      if (j < OUT * IN) p[j] *= 1 - lr * SETTINGS.weightDecay; // biases do not decay
      const denominator = Math.sqrt(v[j] / (1 - beta2 ** step)) + SETTINGS.eps;
      p[j] -= lr * m[j] / (1 - beta1 ** step) / denominator;
    });
  }
  return { p, m, v, metrics };
}

function near(actual: Iterable<number>, expected: readonly number[], bound: number) {
  const values = [...actual];
  assert.equal(values.length, expected.length);
  const error = Math.hypot(...values.map((value, i) => value - expected[i]));
  assert.ok(error <= bound * Math.hypot(...expected), `${values} is not ${expected}`);
}

function valuesOf({ source }: Tensor): number[] {
  assert.ok(source.kind === "host");
  return [...source.data];
}

/** Weights, then biases. */
function trained({ params: { weight, bias } }: Weights<Params>): number[] {
  return [...valuesOf(weight), ...valuesOf(bias)];
}

async function collect(run: AsyncGenerator<StepMetrics[]>, into: StepMetrics[]) {
  for await (const metrics of run) into.push(...metrics);
}

Deno.test("prepare() trains a regression as a float64 loop of AdamW does", async () => {
  const device = await openDevice();
  const { task, open } = regression();
  const trainer = await prepare(device, task);
  const metrics: StepMetrics[] = [];
  await collect(trainer.run(), metrics);

  const expected = reference(STEPS);
  assert.ok(expected.metrics.some(({ gradNorm }) => gradNorm > CLIP));
  assert.ok(expected.metrics.some(({ gradNorm }) => gradNorm < CLIP));
  assert.deepEqual(metrics.map(({ step }) => step), expected.metrics.map((_, i) => i + 1));
  assert.deepEqual(metrics.map(({ lr }) => lr), expected.metrics.map((_, i) => rate(i)));
  near(metrics.map(({ loss }) => loss), expected.metrics.map(({ loss }) => loss), 1e-6);
  const norms = expected.metrics.map(({ gradNorm }) => gradNorm);
  near(metrics.map(({ gradNorm }) => gradNorm), norms, 1e-6);

  const weights = await trainer.snapshot();
  near(trained(weights), expected.p, 1e-6);
  assert.deepEqual(valuesOf(weights.params.offset), [...initial.offset]);
  const moments = leaves<Tensor>(weights.state).flatMap(valuesOf);
  near(moments, [...expected.m, ...expected.v], 1e-5);
  assert.equal(open.count, 0);
  device.gpu.destroy();
});

Deno.test("prepare() goes on from a saved state as if it had never stopped", async () => {
  const device = await openDevice();
  const { task } = regression();
  const whole = await prepare(device, task);
  await collect(whole.run(), []);
  const first = await prepare(device, { ...task, steps: 5 });
  await collect(first.run(), []);
  const second = await prepare(device, task);
  second.load(await first.snapshot());
  const metrics: StepMetrics[] = [];
  await collect(second.run({ from: { step: 5, position: 5 * N * ACCUMULATE } }), metrics);
  assert.deepEqual(metrics.map(({ step }) => step), [6, 7, 8, 9, 10, 11, 12]);
  const [ended, expected] = [await second.snapshot(), await whole.snapshot()];
  assert.deepEqual(leaves<Tensor>(ended).map(valuesOf), leaves<Tensor>(expected).map(valuesOf));
  device.gpu.destroy();
});

Deno.test("prepare() stops at a bad step with the parameters from before it", async () => {
  const device = await openDevice();
  const bad = 7;
  const { task, open } = regression((position) =>
    position === ((bad - 1) * ACCUMULATE + 1) * N ? Infinity : 0
  );
  const trainer = await prepare(device, task);
  const metrics: StepMetrics[] = [];
  const failure = await collect(trainer.run(), metrics).then(() => undefined, (error) => error);
  assert.ok(failure instanceof NonFiniteError, `${failure}`);
  assert.equal(failure.step, bad);
  assert.ok(failure.location);
  assert.equal(metrics.length, bad - 1);
  near(trained(await trainer.snapshot()), reference(bad - 1).p, 1e-6);
  assert.equal(open.count, 0);
  device.gpu.destroy();
});

Deno.test("prepare() averages parts of the loss and running statistics over micro-batches, a bad step's not", async () => {
  const device = await openDevice();
  const values = [1, 3, 10, 20, 5, NaN];
  const trainer = await prepare<{ w: Tensor; seen: Tensor }, { x: Tensor }>(device, {
    params: { w: tensor([1]), seen: tensor([8]) },
    running: { paths: (path) => path === "seen", momentum: 0.5 },
    loss: ({ params, batch }) => ({
      loss: mean(square(sub(params.w, batch.x))),
      terms: { zero: scalar(0), batch: mean(batch.x) },
      statistics: { seen: batch.x },
    }),
    optimizer: adamW(SETTINGS),
    batches: async function* (position) {
      for (let i = position;; i++) yield { x: tensor([values[i % values.length]]) };
    },
    ...{ clipNorm: null, microBatch: 1, accumulate: 2, rate: () => 0.1, steps: 3 },
  });
  const terms: unknown[] = [];
  const run = async () => {
    for await (const group of trainer.run()) terms.push(...group.map(({ terms }) => terms));
  };
  await assert.rejects(run(), ({ stage }: NonFiniteError) => stage === "loss");
  assert.deepEqual(terms, [{ zero: 0, batch: 2 }, { zero: 0, batch: 15 }]);
  const { params } = await trainer.snapshot();
  const { data } = params.seen.source as { data: Float32Array };
  // Means of 2 and 15, each weighing a half; the third step is bad.
  assert.deepEqual([...data], [(8 / 2 + 2 / 2) / 2 + 15 / 2]);
  device.gpu.destroy();
});
