/**
 * Stages: pure functions with a name, chained by `pipe`.
 *
 * @module
 */
import { inStage } from "../src/op.ts";

/** A pure function. */
export type Stage<In, Out> = (input: In) => Out;

/** Names a stage: every tensor made inside bears the name, in timings, memory and errors. */
export function stage<In, Out>(name: string, fn: Stage<In, Out>): Stage<In, Out> {
  return (input) => inStage(name, () => fn(input));
}

/**
 * Chains stages, each taking what the one before gives.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { pipe, stage } from "@mcmae/mcmae";
 *
 * const double = stage("double", (x: number) => 2 * x);
 * const text = stage("text", (x: number) => `${x}`);
 * assert.equal(pipe(double, text)(21), "42");
 * ```
 */
export function pipe<A, B>(a: Stage<A, B>): Stage<A, B>;
export function pipe<A, B, C>(a: Stage<A, B>, b: Stage<B, C>): Stage<A, C>;
export function pipe<A, B, C, D>(a: Stage<A, B>, b: Stage<B, C>, c: Stage<C, D>): Stage<A, D>;
export function pipe<A, B, C, D, E>(
  a: Stage<A, B>,
  b: Stage<B, C>,
  c: Stage<C, D>,
  d: Stage<D, E>,
): Stage<A, E>;
export function pipe(...stages: Stage<unknown, unknown>[]): Stage<unknown, unknown> {
  return (input) => stages.reduce((value, next) => next(value), input);
}
