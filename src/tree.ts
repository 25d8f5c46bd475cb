/**
 * Trees: nested plain records whose leaves are of one kind. Parameters, gradients, optimizer state
 * and batches are trees.
 *
 * @module
 */

/** A leaf, or a record or list of trees; branches that are undefined do not count. */
export type Tree<Leaf> =
  | Leaf
  | { readonly [name: string]: Tree<Leaf> | undefined }
  | readonly Tree<Leaf>[];

/** Records are plain objects; what has a shape and a dtype is a leaf. */
function isBranch(tree: unknown): tree is Record<string, unknown> {
  return Array.isArray(tree) || typeof tree === "object" && tree !== null &&
      Object.getPrototypeOf(tree) === Object.prototype && !("shape" in tree && "dtype" in tree);
}

function branches(tree: object): [name: string, branch: unknown][] {
  return Object.entries(tree).filter(([, branch]) => branch !== undefined);
}

/** All leaves with their paths (`blocks1.0.norm1.weight`), in order of insertion. */
export function entries<Leaf>(tree: Tree<Leaf>, prefix = ""): [path: string, leaf: Leaf][] {
  if (!isBranch(tree)) return [[prefix, tree as Leaf]];
  return branches(tree).flatMap(([name, branch]) =>
    entries(branch as Tree<Leaf>, prefix === "" ? name : `${prefix}.${name}`)
  );
}

/** All leaves in order. */
export function leaves<Leaf>(tree: Tree<Leaf>): Leaf[] {
  return entries(tree).map(([, leaf]) => leaf);
}

/** The same tree with each leaf replaced by `fn(leaf, path)`. */
export function map<Leaf, Result, T extends Tree<Leaf> = Tree<Leaf>>(
  tree: T,
  fn: (leaf: Leaf, path: string) => Result,
  prefix = "",
  // deno-lint-ignore no-explicit-any -- a mapped type over an arbitrary record cannot be inferred
): any {
  if (!isBranch(tree)) return fn(tree as Leaf, prefix);
  const mapped = branches(tree).map(([name, branch]) =>
    [name, map(branch as Tree<Leaf>, fn, prefix === "" ? name : `${prefix}.${name}`)] as const
  );
  return Array.isArray(tree) ? mapped.map(([, branch]) => branch) : Object.fromEntries(mapped);
}

/**
 * Builds a tree from paths, the inverse of `entries`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { tree } from "@mcmae/mcmae";
 *
 * assert.deepEqual(tree.fromEntries([["a.b", 1], ["a.c", 2]]), { a: { b: 1, c: 2 } });
 * ```
 */
export function fromEntries<Leaf>(list: Iterable<readonly [string, Leaf]>): Tree<Leaf> {
  const root: Record<string, unknown> = {};
  for (const [path, leaf] of list) {
    if (path === "") return leaf;
    const names = path.split(".");
    let branch = root;
    for (const name of names.slice(0, -1)) {
      branch = (branch[name] ??= {}) as Record<string, unknown>;
    }
    branch[names.at(-1)!] = leaf;
  }
  return root as Tree<Leaf>;
}
