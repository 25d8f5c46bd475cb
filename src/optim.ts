/**
 * Optimizers as pure functions over trees, and what they share.
 *
 * @module
 */
import { add, div, isFinite, minimum, mul, sqrt, square, sub, where } from "./ops/map.ts";
import { sumOfSquares } from "./ops/reduce.ts";
import { scalar, type Tensor, zeros } from "./tensor.ts";
import { entries, fromEntries, leaves, map, type Tree } from "./tree.ts";

export type Params = Tree<Tensor>;

/** Numbers that change from step to step, as scalar tensors. */
export type Hyper = Readonly<Record<string, Tensor>>;

/** An optimizer: three pure functions. */
export interface Optimizer<State extends Params = Params> {
  /** State before the first step, in host memory. */
  init(params: Params): State;
  /** What `update` needs for step `step` (from 1) at a rate. */
  hyper(step: number, lr: number): Hyper;
  /**
   * New parameters and state, graph → graph.
   *
   * @param gain Factor on the gradients (clipping); where it is 0 nothing changes.
   */
  update(
    grads: Params,
    state: State,
    params: Params,
    hyper: Hyper,
    gain: Tensor,
  ): readonly [params: Params, state: State];
}

export interface AdamWSettings {
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weightDecay: number;
  /** Whether a parameter decays; `decays` if left out. */
  readonly decays?: (path: string, parameter: Tensor) => boolean;
  /** Factor on a parameter's rate, for layer-wise decay; 1 if left out. */
  readonly rate?: (path: string) => number;
}

/** timm's rule: biases and 1-D parameters do not decay; the mask token, 3-D, does. */
export function decays(path: string, { shape }: Tensor): boolean {
  return shape.length > 1 && !path.endsWith(".bias");
}

/** Moments of the gradients. */
export type AdamWState = {
  readonly exp_avg: Params;
  readonly exp_avg_sq: Params;
};

/**
 * AdamW with decoupled weight decay (arXiv:1711.05101), in PyTorch's order of operations.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { adamW, compile, openDevice, read, scalar, tensor } from "@mcmae/mcmae";
 *
 * const optimizer = adamW({ betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0 });
 * const device = await openDevice();
 * const params = { w: tensor([1, 2]) };
 * const args = {
 *   grads: { w: tensor([1, -1]) },
 *   state: optimizer.init(params),
 *   params,
 *   hyper: optimizer.hyper(1, 0.5), // step 1, rate 0.5
 * };
 * const plan = await compile(
 *   device,
 *   ({ grads, state, params, hyper }) =>
 *     optimizer.update(grads, state, params, hyper, scalar(1))[0] as typeof args.params,
 *   args,
 * );
 * assert.deepEqual([...await read(device, plan.run(args).w)], [0.5, 2.5]);
 * ```
 */
export function adamW(
  { betas: [beta1, beta2], eps, weightDecay, decays: rule = decays, rate = () => 1 }: AdamWSettings,
): Optimizer<AdamWState> {
  return {
    init: (params) => ({
      exp_avg: map<Tensor, Tensor>(params, ({ shape }) => zeros(shape)),
      exp_avg_sq: map<Tensor, Tensor>(params, ({ shape }) => zeros(shape)),
    }),
    hyper: (step, lr) => ({
      lr: scalar(lr),
      correction1: scalar(1 - beta1 ** step),
      correction2: scalar(Math.sqrt(1 - beta2 ** step)),
    }),
    update(grads, state, params, { lr, correction1, correction2 }, gain) {
      const [grad, m, v] = [grads, state.exp_avg, state.exp_avg_sq].map((tree) =>
        leaves<Tensor>(tree)
      );
      const updated = entries<Tensor>(params).map(([path, p], i) => {
        const g = mul(grad[i], gain);
        const m1 = add(mul(m[i], beta1), mul(g, 1 - beta1));
        const v1 = add(mul(v[i], beta2), mul(square(g), 1 - beta2));
        const step = mul(lr, rate(path));
        const decay = rule(path, p) ? weightDecay : 0;
        const shrunk = decay === 0 ? p : mul(p, sub(1, mul(step, decay)));
        const denominator = add(div(sqrt(v1), correction2), eps);
        const p1 = sub(shrunk, mul(div(step, correction1), div(m1, denominator)));
        return { path, p: where(gain, p1, p), m: where(gain, m1, m[i]), v: where(gain, v1, v[i]) };
      });
      const tree = (part: "p" | "m" | "v") =>
        fromEntries(updated.map((u) => [u.path, u[part]] as const));
      return [tree("p"), { exp_avg: tree("m"), exp_avg_sq: tree("v") }];
    },
  };
}

/** √Σ g² over every leaf of a tree. */
export function globalNorm(grads: Params): Tensor {
  return sqrt(leaves<Tensor>(grads).map(sumOfSquares).reduce(add));
}

/**
 * Factor that brings gradients to a norm of at most `maxNorm`, as `clip_grad_norm_` does; 0 where
 * the loss or the norm is not finite, or `healthy` is 0 already.
 *
 * @param maxNorm Null leaves finite gradients alone.
 */
export function clipGain(
  norm: Tensor,
  loss: Tensor,
  healthy: Tensor,
  maxNorm: number | null,
): { gain: Tensor; healthy: Tensor } {
  const fine = mul(healthy, mul(isFinite(norm), isFinite(loss)));
  const gain = maxNorm === null ? scalar(1) : minimum(div(maxNorm, add(norm, 1e-6)), 1);
  return { gain: where(fine, gain, 0), healthy: fine };
}
