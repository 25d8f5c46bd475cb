/** Golden steps of AdamW on recorded gradients. */
import { classifierDecays, layerDecay } from "../../src/models/classifier.ts";
import { inferSettings } from "../../src/models/infer.ts";
import { adamW, type AdamWState, type Params } from "../../src/optim.ts";
import { compile } from "../../src/plan/plan.ts";
import { readAll, upload } from "../../src/plan/read.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { type WarmupCosine, warmupCosine } from "../../src/schedule.ts";
import { scalar, type Tensor } from "../../src/tensor.ts";
import { entries, map } from "../../src/tree.ts";
import { compare, type TensorCheck } from "./check.ts";
import { type Fixture, floats, json, namesUnder, parameters } from "./fixture.ts";

const PARAMETER = 1e-6;

interface Group {
  readonly lr_scale: number;
  readonly weight_decay: number;
}

/**
 * Compares {@linkcode adamW} with an `adamw_layer_decay` file: parameters after every step, with the
 * rates of {@linkcode layerDecay}, which must be those of the file's groups. `b95` in a name is a β₂ of 0.95.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkAdamWLayerDecay(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const betas = new Set(namesUnder(file, "out.b").map((name) => name.split(".")[0]));
  for (const digits of betas) yield* checkBeta(fixture, digits);
}

async function* checkBeta({ file, device: open }: Fixture, digits: string) {
  const groups = json<Record<string, Group>>(file, "param_map");
  const weightDecay = json<number>(file, "weight_decay");
  const other = Object.entries(groups).find(([, { weight_decay: decay }]) =>
    decay !== 0 && decay !== weightDecay
  );
  if (other) {
    throw new RangeError(
      `Weight decay of ${other[0]} is ${other[1].weight_decay}, not 0 or the rest's ${weightDecay}`,
    );
  }
  const params = parameters(file);
  const shapes = new Map(entries<Tensor>(params).map(([path, { shape }]) => [path, shape]));
  const { settings } = inferSettings(shapes, { heads: json(file, "num_heads") });
  const rate = layerDecay(settings, json(file, "layer_decay"));
  for (const [path, p] of entries<Tensor>(params)) {
    const { lr_scale, weight_decay } = groups[path];
    const decays = classifierDecays(path, p);
    if (Math.abs(rate(path) - lr_scale) < 1e-12 && decays === weight_decay > 0) continue;
    throw new RangeError(
      `${path} has the rate's scale ${rate(path)} and ${decays ? "decays" : "does not decay"}, ` +
        `not ${lr_scale} and weight decay ${weight_decay}`,
    );
  }
  const optimizer = adamW({
    betas: [0.9, Number(`0.${digits}`)],
    eps: json(file, "adam_eps"),
    weightDecay,
    decays: classifierDecays,
    rate,
  });
  const device = await open();
  const place = <T extends Params>(tree: T): T =>
    map<Tensor, Tensor, T>(tree, (x) => upload(device, x));
  const kept = { params: place(params), state: place(optimizer.init(params)) };
  const schedule = scheduleOf(file);
  const epochs = json<number[]>(file, "step_epochs");
  const argsAt = (step: number) => ({
    ...kept,
    grads: parameters(file, `step${step}.in_grad.`),
    hyper: optimizer.hyper(step + 1, warmupCosine(schedule, epochs[step])),
  });
  const plan = await compile(
    device,
    ({ params, state, grads, hyper }) => {
      const updated = optimizer.update(
        grads,
        state as AdamWState,
        params,
        hyper as never,
        scalar(1),
      );
      return { params: updated[0], state: updated[1] };
    },
    argsAt(0),
    { donate: ["params", "state"] },
  );

  for (const step of epochs.keys()) {
    const { params } = plan.run(argsAt(step));
    const results = entries<Tensor>(params);
    const values = await readAll(device, results.map(([, x]) => x));
    for (const [i, [path]] of results.entries()) {
      const name = `b${digits}.step${step}.${path}`;
      if (!file.tensors.has(`out.${name}`)) continue;
      yield compare(name, values[i], floats(file, `out.${name}`), PARAMETER);
    }
  }
  plan.destroy();
}

/** The learning-rate schedule in a file's metadata. */
export function scheduleOf(file: Safetensors): WarmupCosine {
  return {
    lr: json(file, "lr"),
    minLr: json(file, "min_lr"),
    warmupEpochs: json(file, "warmup_epochs"),
    epochs: json(file, "epochs"),
  };
}
