/** Golden pre-training steps of MCMAE, through the training loop itself. */
import { autoencoder } from "../../src/models/autoencoder.ts";
import { FROZEN } from "../../src/models/decoder.ts";
import type { McmaeParams } from "../../src/models/mcmae.ts";
import { adamW, type Params } from "../../src/optim.ts";
import { readAll } from "../../src/plan/read.ts";
import { warmupCosine } from "../../src/schedule.ts";
import type { Tensor } from "../../src/tensor.ts";
import { entries } from "../../src/tree.ts";
import { prepare, type Task } from "../train.ts";
import { scheduleOf } from "./adamw.ts";
import { BOUNDS, compare, type TensorCheck } from "./check.ts";
import { type Fixture, floats, input, json, parameters } from "./fixture.ts";
import { masked, mcmaeSettings, recordedMask, withChannelsLast } from "./mcmae.ts";

const NORM = 1e-5;
const PARAMETER = 1e-6;
// Attention ignores the keys' bias, so its gradient is rounding noise, which Adam enlarges.
const ATTENTION_BIAS = 5e-4;

/**
 * Compares the steps of a `pretrain_steps` file with those of the training loop, fed with the
 * recorded noises: loss before and norm of the gradient in each step, and the final parameters,
 * frozen tables included.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkPretrainSteps(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const settings = mcmaeSettings(file);
  const model = autoencoder(settings);
  const images = input(file, "images");
  const epochs = json<number[]>(file, "step_epochs");
  const batches = epochs.map((_, step) =>
    masked(recordedMask(file, `noise.step${step}`, settings), images)
  );
  const schedule = scheduleOf(file);
  const params = parameters(file);
  const task: Task<Params, typeof batches[number]> = {
    params,
    frozen: (path) => FROZEN.includes(path),
    loss: ({ params, batch }) => {
      const inputs = withChannelsLast(batch);
      const all = params as unknown as McmaeParams;
      return model.loss(model.decode(all, model.encode(all, inputs), inputs), inputs);
    },
    optimizer: adamW({
      betas: json(file, "betas"),
      eps: json(file, "adam_eps"),
      weightDecay: json(file, "weight_decay"),
    }),
    clipNorm: null,
    batches: async function* (position) {
      yield* batches.slice(position / images.shape[0]);
    },
    microBatch: images.shape[0],
    accumulate: 1,
    rate: (step) => warmupCosine(schedule, epochs[step]),
    steps: epochs.length,
  };

  const device = await fixture.device();
  const trainer = await prepare(device, task);
  const metrics = (await Array.fromAsync(trainer.run())).flat();
  const losses = metrics.map(({ loss }) => loss);
  yield compare("loss", losses, floats(file, "out.loss"), BOUNDS.loss);
  const norms = metrics.map(({ gradNorm }) => gradNorm);
  yield compare("grad_norm", norms, floats(file, "out.grad_norm"), NORM);

  const final = entries<Tensor>(trainer.params);
  const values = await readAll(device, final.map(([, x]) => x));
  for (const [i, [path]] of final.entries()) {
    const name = `final.${path}`;
    if (!file.tensors.has(`out.${name}`)) continue;
    const bound = path.endsWith(".qkv.bias") ? ATTENTION_BIAS : PARAMETER;
    yield compare(name, values[i], floats(file, `out.${name}`), bound);
  }
}
