/**
 * LARS, the optimizer of linear probes.
 *
 * @module
 */
import { add, div, mul, sqrt, sub, where } from "./ops/map.ts";
import { sumOfSquares } from "./ops/reduce.ts";
import type { Optimizer, Params } from "./optim.ts";
import { scalar, type Tensor, zeros } from "./tensor.ts";
import { entries, fromEntries, leaves, map } from "./tree.ts";

export interface LarsSettings {
  readonly momentum: number;
  readonly weightDecay: number;
  /** Trust coefficient; MAE's 0.001 unless given. */
  readonly trust?: number;
}

export type LarsState = {
  readonly mu: Params;
};

/**
 * Layer-wise adaptive rate scaling (arXiv:1708.03888), as MAE's `lars.py` has it: gradients of
 * parameters with more than one axis are decayed and brought to the scale of the parameter; biases
 * and gains take plain momentum.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { compile, lars, openDevice, read, scalar, tensor } from "@mcmae/mcmae";
 *
 * const optimizer = lars({ momentum: 0.9, weightDecay: 0 });
 * const params = { bias: tensor([1, 2]) };
 * const hyper = optimizer.hyper(1, 0.5);
 * const args = { grads: { bias: tensor([1, -1]) }, state: optimizer.init(params), params, hyper };
 * const device = await openDevice();
 * const plan = await compile(
 *   device,
 *   ({ grads, state, params, hyper }) =>
 *     optimizer.update(grads, state, params, hyper, scalar(1))[0] as typeof args.params,
 *   args,
 * );
 * assert.deepEqual([...await read(device, plan.run(args).bias)], [0.5, 2.5]);
 * ```
 */
export function lars(
  { momentum, weightDecay, trust = 0.001 }: LarsSettings,
): Optimizer<LarsState> {
  return {
    init: (params) => ({ mu: map<Tensor, Tensor>(params, ({ shape }) => zeros(shape)) }),
    hyper: (_, lr) => ({ lr: scalar(lr) }),
    update(grads, { mu }, params, { lr }, gain) {
      const [slopes, moments] = [grads, mu].map((tree) => leaves<Tensor>(tree));
      const updated = entries<Tensor>(params).map(([path, p], i) => {
        const slope = mul(slopes[i], gain);
        const g = p.shape.length > 1 ? scaled(p, slope) : slope;
        const m = add(mul(moments[i], momentum), g);
        const p1 = sub(p, mul(lr, m));
        return { path, p: where(gain, p1, p), mu: where(gain, m, moments[i]) };
      });
      const tree = (part: "p" | "mu") =>
        fromEntries(updated.map((u) => [u.path, u[part]] as const));
      return [tree("p"), { mu: tree("mu") }];
    },
  };

  function scaled(p: Tensor, slope: Tensor): Tensor {
    const g = weightDecay === 0 ? slope : add(slope, mul(p, weightDecay));
    const [own, other] = [p, g].map((x) => sqrt(sumOfSquares(x)));
    // 1 where either is zero.
    return mul(g, where(own, where(other, div(mul(own, trust), other), 1), 1));
  }
}
