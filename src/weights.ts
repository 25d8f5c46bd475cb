/**
 * Files of weights, whatever wrote them: PyTorch's checkpoints, safetensors, NumPy's archives.
 *
 * @module
 */
import { type Elements, type ElementType, toFloat32 } from "./elements.ts";
import { arraysIn, readNpz } from "./npz.ts";
import { openFile, type RandomAccess, unreadable } from "./random_access.ts";
import { openSafetensors } from "./safetensors.ts";
import { TYPES } from "./safetensors_header.ts";
import {
  isTorchLegacy,
  pickleIn,
  readTorchLegacy,
  readTorchZip,
  TorchTensor,
} from "./torch_file.ts";
import { openZip } from "./zip.ts";

/** A tensor that is still in its file. */
export interface Weight {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  /**
   * Reads the values, row-major, rounded to float32.
   *
   * @throws {Error} If the file is damaged, or no longer open; the message names it.
   */
  values(): Promise<Float32Array<ArrayBuffer>>;
  /** Reads the values as they are stored. @throws {Error} As `values`. */
  elements(): Promise<Elements>;
}

/** An open file of weights. */
export interface WeightFile extends Disposable {
  readonly kind: "torch" | "safetensors" | "npz";
  /** The model's tensors, by the names that it gives them; to be read while the file is open. */
  readonly tensors: ReadonlyMap<string, Weight>;
  /** All else that a run keeps: moments of the optimizer, averages. */
  readonly others: ReadonlyMap<string, Weight>;
  /** Texts of a safetensors file; `epoch` and `args` of PyTorch's, as plain values. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/**
 * Opens a file of weights. Its kind is told by its content. The model of a training run is found in
 * it, and prefixes of wrappers are taken off its names (`module.`, `model.`).
 *
 * @throws {RefusedError} If its pickle names a class or function that no checkpoint needs.
 * @throws {Error} If it cannot be read, is truncated, or is none of these. Messages name it.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openWeights } from "@mcmae/mcmae";
 *
 * using file = await openWeights("tests/golden/checkpoint_half_zip.pth");
 * const { dtype, shape, values } = file.tensors.get("head.weight")!;
 * assert.deepEqual([dtype, shape, (await values()).length], ["float16", [10, 16], 160]);
 * ```
 */
export function openWeights(path: string): Promise<WeightFile> {
  return openFile(path, async (file) => {
    const { kind, stored, metadata } = await readContent(file);
    const [tensors, others] = [new Map<string, Weight>(), new Map<string, Weight>()];
    const models = withoutPrefixes(stored.map(([name]) => name).filter((name) => !isOther(name)));
    for (const [name, { dtype, shape, read }] of stored) {
      const elements = () =>
        read().catch((cause) => {
          throw unreadable(path, new Error(`${name}: ${(cause as Error).message}`, { cause }));
        });
      const values = async () => toFloat32(dtype, await elements());
      const model = models.get(name);
      (model === undefined ? others : tensors)
        .set(model ?? name, { dtype, shape, values, elements });
    }
    return { kind, tensors, others, metadata, [Symbol.dispose]: () => file[Symbol.dispose]() };
  });
}

interface Stored {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  read(): Promise<Elements>;
}

interface Content extends Pick<WeightFile, "kind" | "metadata"> {
  readonly stored: (readonly [name: string, tensor: Stored])[];
}

async function readContent(file: RandomAccess): Promise<Content> {
  const start = await file.at(0, Math.min(file.size, 9));
  if (start[0] === 0x50 && start[1] === 0x4b) { // PK
    const zip = await openZip(file);
    if (pickleIn(zip) !== undefined) return torchContent(await readTorchZip(zip));
    if (arraysIn(zip).length === 0) throw new RangeError("it is a zip file without weights");
    return { kind: "npz", stored: [...await readNpz(zip)], metadata: {} };
  }
  if (await isTorchLegacy(file)) return torchContent(await readTorchLegacy(file));
  if (start[8] === 0x7b) { // {
    const { tensors, metadata } = await openSafetensors(file);
    const stored = [...tensors].map(([name, { dtype, shape, read }]) =>
      [name, { dtype: TYPES[dtype], shape, read }] as const
    );
    return { kind: "safetensors", stored, metadata };
  }
  throw new RangeError("it is no checkpoint of PyTorch, no safetensors and no .npz file");
}

type Saved = Readonly<Record<string, unknown>>;

/** What `torch.save` wrote: a state dict, or a record that holds one among other things. */
function torchContent(value: unknown): Content {
  const saved = isRecord(value) ? value : {};
  const model = [saved.model, saved.state_dict, saved].find(holdsTensors);
  if (!model) throw new RangeError("it holds no state dict: no record of tensors");
  const stored = [...tensorsOf(model)];
  if (model === saved) return { kind: "torch", stored, metadata: {} };
  const { epoch, args, optimizer } = saved;
  if (isRecord(optimizer)) stored.push(...tensorsUnder("optimizer", { state: optimizer.state }));
  const metadata = { ...epoch !== undefined && { epoch }, ...args !== undefined && { args } };
  return { kind: "torch", stored, metadata };
}

function holdsTensors(value: unknown): value is Saved {
  return isRecord(value) && Object.values(value).some((item) => item instanceof TorchTensor);
}

function* tensorsOf(record: Saved, prefix = ""): Generator<readonly [string, Stored]> {
  for (const [name, item] of Object.entries(record)) {
    if (!(item instanceof TorchTensor)) continue;
    const { dtype, shape } = item;
    yield [prefix + name, { dtype, shape, read: () => item.values() }];
  }
}

/** Tensors and numbers in records within records. */
function* tensorsUnder(prefix: string, record: Saved): Generator<readonly [string, Stored]> {
  yield* tensorsOf(record, `${prefix}.`);
  for (const [name, item] of Object.entries(record)) {
    const path = `${prefix}.${name}`;
    if (Number.isSafeInteger(item)) { // `step` of older versions
      const read = () => Promise.resolve(BigInt64Array.of(BigInt(item as number)));
      yield [path, { dtype: "int64", shape: [], read }];
    }
    if (isRecord(item)) yield* tensorsUnder(path, item);
  }
}

function isRecord(value: unknown): value is Saved {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof TorchTensor);
}

function isOther(name: string): boolean {
  return /^(optimizer|ema)\./.test(name);
}

/** Names as stored → names without the prefixes that all of them have. */
function withoutPrefixes(names: readonly string[]): Map<string, string> {
  let length = 0;
  for (const prefix of ["model.", "module."]) {
    if (names.every((name) => name.startsWith(prefix, length))) length += prefix.length;
  }
  return new Map(names.map((name) => [name, name.slice(length)]));
}
