/** Golden checkpoints of PyTorch: every value must be the one that was saved. */
import { isDeepStrictEqual } from "node:util";
import type { Safetensor } from "../../src/safetensors.ts";
import { openTorch, TorchTensor } from "../../src/torch_file.ts";
import { check, type TensorCheck, unknown } from "./check.ts";
import { type Fixture, json } from "./fixture.ts";

type Tree = { readonly [name: string]: unknown };

/** Where metadata of the file stand in what was saved. */
const OBJECTS: Readonly<Record<string, (saved: Tree) => unknown>> = {
  epoch: ({ epoch }) => epoch,
  args: ({ args }) => args,
  scaler: ({ scaler }) => scaler,
  extra: ({ extra }) => extra,
  param_groups: ({ optimizer }) => (optimizer as Tree).param_groups,
};

/**
 * Reads the `.pth` file that belongs to a `checkpoint_…` file, and compares all its tensors and
 * objects with the recorded ones.
 *
 * @throws {Error} If it cannot be read.
 */
export async function* checkCheckpoint({ dir, file }: Fixture): AsyncGenerator<TensorCheck> {
  using saved = await openTorch(`${dir}/${file.metadata.file}`);
  const root = saved.value as Tree;
  const found = new Map(leavesOf("model" in root ? root : { model: root }));
  for (const [name, expected] of file.tensors) {
    const leaf = found.get(name);
    if (!(leaf instanceof TorchTensor) && typeof leaf !== "number") {
      yield unknown(name);
      continue;
    }
    const shape = typeof leaf === "number" ? [] : leaf.shape;
    const values = typeof leaf === "number" ? [leaf] : numbersOf(leaf.dtype, await leaf.values());
    const recorded = numbersOf(expected.dtype, expected.data);
    const isEqual = isDeepStrictEqual(shape, expected.shape) &&
      values.length === recorded.length && values.every((x, i) => Object.is(x, recorded[i]));
    yield check(name, isEqual ? 0 : Infinity, 0);
  }
  for (const [name, find] of Object.entries(OBJECTS)) {
    if (!(name in file.metadata)) continue;
    yield check(name, holds(find(root), json(file, name)) ? 0 : Infinity, 0);
  }
}

/** Tensors and numbers beneath records, by path. */
function* leavesOf(tree: Tree, prefix = ""): Generator<[string, unknown]> {
  for (const [name, value] of Object.entries(tree)) {
    const isRecord = typeof value === "object" && value !== null && !Array.isArray(value) &&
      !(value instanceof TorchTensor);
    if (isRecord) yield* leavesOf(value as Tree, `${prefix}${name}.`);
    else yield [prefix + name, value];
  }
}

function numbersOf(dtype: string, data: Safetensor["data"] | ArrayLike<number | bigint>): number[] {
  const bits = data as Uint16Array<ArrayBuffer>;
  if (dtype === "float16" || dtype === "F16") return [...new Float16Array(bits.slice().buffer)];
  if (dtype === "bfloat16" || dtype === "BF16") {
    return [...new Float32Array(Uint32Array.from(bits, (x) => x << 16).buffer)];
  }
  return Array.from(data as ArrayLike<number | bigint>, Number);
}

/** Whether a record has all that was recorded; it may have more, such as raw bytes. */
function holds(found: unknown, recorded: unknown): boolean {
  const isRecord = typeof recorded === "object" && recorded !== null && !Array.isArray(recorded);
  if (!isRecord) return isDeepStrictEqual(found, recorded);
  return Object.entries(recorded).every(([name, value]) =>
    isDeepStrictEqual((found as Tree)[name], value)
  );
}
