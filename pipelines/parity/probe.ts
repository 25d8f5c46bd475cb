/** Golden steps of LARS, and of a linear probe with batch normalisation. */
import { softTargets } from "../../data/mixup.ts";
import { lars, type LarsState } from "../../src/lars.ts";
import { applyProbe, initProbe, type ProbeParams } from "../../src/models/linear_probe.ts";
import { compile } from "../../src/plan/plan.ts";
import { read, readAll } from "../../src/plan/read.ts";
import { scalar, type Tensor, tensor } from "../../src/tensor.ts";
import { entries, map } from "../../src/tree.ts";
import { probeTask } from "../linprobe.ts";
import { prepare } from "../train.ts";
import { compare, type TensorCheck } from "./check.ts";
import { type Fixture, floats, input, json, namesUnder, parameters, tensorOf } from "./fixture.ts";

const BOUND = 2e-6;

/**
 * Compares {@linkcode lars} with a `lars` file: parameters and momenta after every step.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkLars({ file, device: open }: Fixture): AsyncGenerator<TensorCheck> {
  const optimizer = lars({
    momentum: json(file, "momentum"),
    weightDecay: json(file, "weight_decay"),
    trust: json(file, "trust_coefficient"),
  });
  const device = await open();
  let params = parameters(file) as Readonly<Record<string, Tensor>>;
  let state = optimizer.init(params);
  const rates = json<number[]>(file, "step_lr");
  const argsAt = (step: number) => ({
    ...{ params, state },
    grads: parameters(file, `step${step}.in_grad.`) as typeof params,
    hyper: optimizer.hyper(step + 1, rates[step]),
  });
  const plan = await compile(device, ({ params, state, grads, hyper }) => {
    const [p, s] = optimizer.update(grads, state, params, hyper, scalar(1));
    return { params: p as typeof params, state: s };
  }, argsAt(0));
  for (let step = 0; step < rates.length; step++) {
    const results = plan.run(argsAt(step));
    const list = entries<Tensor>(results);
    const values = await readAll(device, list.map(([, x]) => x));
    let next = 0;
    const updated = map<Tensor, Tensor, typeof results>(
      results,
      ({ shape }) => tensor(values[next++], shape),
    );
    ({ params } = updated);
    state = updated.state as LarsState;
    for (const [i, [path]] of list.entries()) {
      const name = path.replace(/^params\./, "").replace(/^state\./, "");
      const tensor = `step${step}.${name}`;
      yield compare(tensor, values[i], floats(file, `out.${tensor}`), BOUND);
    }
  }
  plan.destroy();
}

/**
 * Compares the probe with a `linprobe` file: losses, head and running moments after its steps, and
 * logits at evaluation.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkLinprobe({ file, device: open }: Fixture): AsyncGenerator<TensorCheck> {
  const [classes, width] = tensorOf(file, "head.weight").shape;
  const [running] = initProbe({ classes, width }).head;
  const params: ProbeParams = {
    head: [running, { weight: input(file, "head.weight"), bias: input(file, "head.bias") }],
  };
  const batches = namesUnder(file, "step").filter((name) => name.endsWith(".features")).map(
    (_, step) => {
      const labels = Int32Array.from(tensorOf(file, `step${step}.labels`).data as Int32Array);
      return {
        features: input(file, `step${step}.features`),
        targets: tensor(softTargets(labels, classes, 0), [labels.length, classes]),
      };
    },
  );
  const eps = json<number>(file, "bn_eps");
  const device = await open();
  const trainer = await prepare(device, {
    ...probeTask(params, { eps, momentum: json(file, "bn_momentum") }),
    optimizer: lars({
      momentum: json(file, "momentum"),
      weightDecay: json(file, "weight_decay"),
      trust: json(file, "trust_coefficient"),
    }),
    batches: async function* (position) {
      for (let i = position;; i++) yield batches[i % batches.length];
    },
    ...{ clipNorm: null, microBatch: 1, accumulate: 1, rate: () => json<number>(file, "lr") },
    steps: batches.length,
  });
  const metrics = (await Array.fromAsync(trainer.run())).flat();
  const { head } = (await trainer.snapshot()).params;
  const results = Object.fromEntries(entries<Tensor>(head));
  for (const name of ["0.running_mean", "0.running_var", "1.weight", "1.bias"]) {
    yield compare(name, await read(device, results[name]), floats(file, `out.${name}`), BOUND);
  }
  const logits = await read(device, applyProbe({ head }, input(file, "eval_features"), eps));
  yield compare("eval_logits", logits, floats(file, "out.eval_logits"), BOUND);
  yield compare("loss", metrics.map(({ loss }) => loss), floats(file, "out.loss"), BOUND);
}
