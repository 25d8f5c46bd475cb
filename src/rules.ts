/**
 * Rules by parameter path: which factor a parameter gets.
 *
 * @module
 */

/** A pattern of paths, where `*` stands for any text, and the factor for those that match. */
export type Rule = readonly [pattern: string, factor: number];

/** In order: the first rule that matches decides. */
export type Rules = readonly Rule[];

/**
 * The factor of a parameter.
 *
 * @returns That of the first rule whose pattern matches the whole path, else 1.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { factorOf } from "@mcmae/mcmae";
 *
 * const rules = [["patch_embed*", 0], ["blocks1.*", 0.5]] as const;
 * assert.equal(factorOf(rules, "patch_embed1.proj.weight"), 0);
 * assert.equal(factorOf(rules, "blocks1.0.norm1.bias"), 0.5);
 * assert.equal(factorOf(rules, "blocks3.0.norm1.bias"), 1);
 * ```
 */
export function factorOf(rules: Rules, path: string): number {
  return rules.find(([pattern]) => matches(pattern, path))?.[1] ?? 1;
}

/** Whether a pattern matches a whole path. */
export function matches(pattern: string, path: string): boolean {
  const parts = pattern.split("*").map((text) => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(path);
}
