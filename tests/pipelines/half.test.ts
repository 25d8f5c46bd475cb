import assert from "node:assert/strict";
import { nextScaler } from "../../pipelines/loss_scale.ts";
import { prepare } from "../../pipelines/train.ts";
import type { Task } from "../../pipelines/train_step.ts";
import { adamW } from "../../src/optim.ts";
import { mean } from "../../src/ops/reduce.ts";
import { mul, square, sub } from "../../src/ops/map.ts";
import { linear } from "../../src/ops/matmul.ts";
import { read } from "../../src/plan/read.ts";
import { scalar, type Tensor, tensor } from "../../src/tensor.ts";
import { random, sharedDevice, toTensor } from "../check_op.ts";

type Layers = { w1: Tensor; w2: Tensor };
type Batch = { x: Tensor; goal: Tensor };

const draw = (shape: readonly number[], seed: number) => toTensor(random(shape, seed));

/** Two layers that learn a fixed batch; the weight of the loss decides how large its gradients are. */
function taskWith(half: boolean, weight: number): Task<Layers, Batch> {
  const batch = { x: draw([16, 8], 1), goal: draw([16, 4], 2) };
  return {
    params: { w1: draw([12, 8], 3), w2: draw([4, 12], 4) },
    loss: ({ params: { w1, w2 }, batch: { x, goal } }) =>
      mul(mean(square(sub(linear(linear(x, w1), w2), goal))), weight),
    optimizer: adamW({ betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0 }),
    clipNorm: 1,
    batches: async function* () {
      while (true) yield await Promise.resolve(batch);
    },
    ...{ microBatch: 16, accumulate: 1, rate: () => 0.01, steps: 30, half },
  };
}

async function losses(task: Task<Layers, Batch>) {
  const trainer = await prepare(await sharedDevice(), task);
  const metrics = (await Array.fromAsync(trainer.run())).flat();
  const { state } = await trainer.snapshot();
  trainer.destroy();
  return { metrics, state: state as unknown as { scaler: { scale: Tensor; steady: Tensor } } };
}

Deno.test("prepare() trains as well with activations in half precision", async () => {
  const [full, half] = [
    await losses(taskWith(false, 1 / 64)),
    await losses(taskWith(true, 1 / 64)),
  ];
  half.metrics.forEach(({ loss, gradNorm }, i) => {
    const other = full.metrics[i];
    assert.ok(Math.abs(loss / other.loss - 1) < 0.02, `step ${i}: ${loss}, not ${other.loss}`);
    assert.ok(Math.abs(gradNorm / other.gradNorm - 1) < 0.1, `step ${i}: norm ${gradNorm}`);
  });
  assert.ok(
    half.metrics.some(({ loss }, i) => loss !== full.metrics[i].loss),
    "nothing was rounded",
  );
  assert.deepEqual([...(half.state.scaler.steady.source as { data: Float32Array }).data], [30]);
});

Deno.test("prepare() leaves out steps whose scaled gradients overflow, until they do not", async () => {
  // The scaled gradient of the output, 2¹⁶ · 64 · 2 (y - goal) / 64, is more than f16 holds.
  const { metrics, state } = await losses(taskWith(true, 64));
  assert.equal(metrics.length, 30);
  assert.equal(metrics[1].loss, metrics[0].loss); // the first step changed nothing
  assert.ok(metrics[29].loss < 0.9 * metrics[0].loss);
  const [scale] = (state.scaler.scale.source as { data: Float32Array }).data;
  assert.ok(scale >= 1 && scale < 2 ** 16, `scale ${scale}`);
});

Deno.test("nextScaler() halves after an overflow, never below 1, and doubles after 2000 good steps", async () => {
  const device = await sharedDevice();
  const next = async (scale: number, steady: number, fine: number) => {
    const after = nextScaler({ scale: scalar(scale), steady: scalar(steady) }, tensor([fine], []));
    return [...await read(device, after.scale), ...await read(device, after.steady)];
  };
  assert.deepEqual(await next(8, 5, 1), [8, 6]);
  assert.deepEqual(await next(8, 1999, 1), [16, 0]);
  assert.deepEqual(await next(8, 1999, 0), [4, 0]);
  assert.deepEqual(await next(1, 7, 0), [1, 0]);
});
