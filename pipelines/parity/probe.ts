/** Golden steps of LARS, and of a linear probe with batch normalisation. */
import { softTargets } from "../../data/mixup.ts";
import { grad } from "../../src/grad.ts";
import { lars, type LarsState } from "../../src/lars.ts";
import {
  applyProbe,
  initProbe,
  probeLoss,
  type ProbeParams,
  runningAverage,
} from "../../src/models/linear_probe.ts";
import { compile } from "../../src/plan/plan.ts";
import { read, readAll } from "../../src/plan/read.ts";
import { scalar, type Tensor, tensor } from "../../src/tensor.ts";
import { entries, map } from "../../src/tree.ts";
import { compare, type TensorCheck } from "./check.ts";
import { type Fixture, floats, input, json, parameters, tensorOf } from "./fixture.ts";

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
  const device = await open();
  const eps = json<number>(file, "bn_eps");
  const momentum = json<number>(file, "bn_momentum");
  const optimizer = lars({
    momentum: json(file, "momentum"),
    weightDecay: json(file, "weight_decay"),
    trust: json(file, "trust_coefficient"),
  });
  const [classes, width] = tensorOf(file, "head.weight").shape;
  const blank = initProbe({ classes, width });
  const { running, ...rest }: ProbeParams = {
    ...blank,
    head: { weight: input(file, "head.weight"), bias: input(file, "head.bias") },
  };
  let [head, moments] = [rest.head, running];
  let state = optimizer.init({ head });
  const losses: number[] = [];
  for (let step = 0; file.tensors.has(`step${step}.features`); step++) {
    const labels = Int32Array.from(tensorOf(file, `step${step}.labels`).data as Int32Array);
    const args = {
      ...{ head, moments, state },
      features: input(file, `step${step}.features`),
      targets: tensor(softTargets(labels, classes, 0), [labels.length, classes]),
      hyper: optimizer.hyper(step + 1, json(file, "lr")),
    };
    const plan = await compile(device, ({ head, moments, state, features, targets, hyper }) => {
      const { loss, statistics } = probeLoss({ head, running: moments }, features, targets, eps);
      const [updated, s] = optimizer.update(
        grad(loss, { head }),
        state,
        { head },
        hyper,
        scalar(1),
      );
      return {
        head: (updated as { head: typeof head }).head,
        moments: runningAverage(moments, statistics, momentum),
        ...{ state: s, loss },
      };
    }, args);
    const results = plan.run(args);
    const values = await readAll(device, entries<Tensor>(results).map(([, x]) => x));
    let next = 0;
    const now = map<Tensor, Tensor, typeof results>(
      results,
      ({ shape }) => tensor(values[next++], shape),
    );
    ({ head, moments } = now);
    state = now.state as LarsState;
    losses.push((await read(device, now.loss))[0]);
    plan.destroy();
  }
  const logits = applyProbe({ head, running: moments }, input(file, "eval_features"), eps);
  const results = {
    "0.running_mean": moments.mean,
    "0.running_var": moments.variance,
    "1.weight": head.weight,
    "1.bias": head.bias,
    eval_logits: logits,
  };
  for (const [name, x] of Object.entries(results)) {
    yield compare(name, await read(device, x), floats(file, `out.${name}`), BOUND);
  }
  yield compare("loss", losses, floats(file, "out.loss"), BOUND);
}
