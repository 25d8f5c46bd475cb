/** What golden files hold: settings in the metadata, inputs and parameters as tensors. */
import type { Device } from "../../src/device.ts";
import type { Params } from "../../src/optim.ts";
import { compile } from "../../src/plan/plan.ts";
import { readAll } from "../../src/plan/read.ts";
import type { Safetensor, Safetensors } from "../../src/safetensors.ts";
import { type HostArray, type Tensor, tensor } from "../../src/tensor.ts";
import { entries, fromEntries } from "../../src/tree.ts";

/** A golden file to check, and what that takes. */
export interface Fixture {
  /** Folder of the file. */
  readonly dir: string;
  readonly file: Safetensors;
  /** Opens the device, once for all cases. */
  device(): Promise<Device>;
}

/**
 * A value of the metadata, which stores all but strings as JSON.
 *
 * @throws {RangeError} If it is missing or no JSON.
 */
export function json<Value>({ metadata }: Safetensors, key: string): Value {
  const text = metadata[key];
  if (text === undefined) throw new RangeError(`Metadata key ${key} is missing`);
  try {
    return JSON.parse(text);
  } catch {
    throw new RangeError(`Metadata key ${key} is not JSON: ${text.slice(0, 40)}`);
  }
}

/** @throws {RangeError} If the file has no such tensor. */
export function tensorOf({ tensors }: Safetensors, name: string): Safetensor {
  const found = tensors.get(name);
  if (!found) throw new RangeError(`Tensor ${name} is missing`);
  return found;
}

/** @throws {RangeError} If the file has no such tensor, or not as F32. */
export function floats(file: Safetensors, name: string): Float32Array {
  const { dtype, data } = tensorOf(file, name);
  if (dtype !== "F32") throw new RangeError(`Tensor ${name} is ${dtype}, not F32`);
  return data;
}

/** @throws {RangeError} As {@linkcode floats}. */
export function input(file: Safetensors, name: string): Tensor {
  return tensor(floats(file, name), tensorOf(file, name).shape);
}

/** Rest of each name that begins with `prefix`, in the order of the file. */
export function namesUnder({ tensors }: Safetensors, prefix: string): string[] {
  return tensors.keys().filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length)).toArray();
}

/** What a file holds under a prefix, taken for parameters of type P. */
export type Stored<P> = P & { readonly [name: string]: Params };

/**
 * Parameters under a prefix as a tree, numbered ones (`blocks1.0`) as lists. The file decides which
 * there are; the indices that PyTorch keeps beside tables of relative positions are none.
 *
 * @throws {RangeError} If one is not F32.
 */
export function parameters<P = unknown>(file: Safetensors, prefix = "param."): Stored<P> {
  const list = namesUnder(file, prefix)
    .filter((name) => !name.endsWith("relative_position_index"))
    .map((name) => [name, input(file, prefix + name)] as const);
  return withLists(fromEntries(list)) as Stored<P>;
}

/** The leaves with the given paths, as a tree; unknown paths are left out. */
export function pick(tree: Params, paths: readonly string[]): Record<string, Tensor> {
  const leaves = new Map(entries<Tensor>(tree));
  const found = paths.filter((path) => leaves.has(path));
  // Whole paths as keys: they are what comes out again.
  return Object.fromEntries(found.map((path) => [path, leaves.get(path)!]));
}

/** Runs a function once and reads its results, by path. */
export async function compute<Args extends Params>(
  device: Device,
  fn: (args: Args) => Params,
  args: Args,
): Promise<Map<string, HostArray>> {
  const plan = await compile(device, fn, args);
  const results = entries<Tensor>(plan.run(args));
  const values = await readAll(device, results.map(([, result]) => result));
  plan.destroy();
  return new Map(results.map(([path], i) => [path, values[i]]));
}

function withLists(tree: unknown): unknown {
  if (typeof tree !== "object" || tree === null || "dtype" in tree) return tree;
  const branches = Object.entries(tree).map(([name, branch]) => [name, withLists(branch)] as const);
  const isList = branches.every(([name], i) => name === String(i));
  return isList ? branches.map(([, branch]) => branch) : Object.fromEntries(branches);
}
