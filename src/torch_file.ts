/**
 * Checkpoints of PyTorch (`torch.save`), in the zip format and the one before it, read by random
 * access: tensors stay in the file until they are asked for, and nothing in it is executed.
 *
 * @module
 */
import { BufferReader, Parser } from "pickleparser";
import { ELEMENTS, type Elements } from "./elements.ts";
import { openFile, type RandomAccess, RefusedError } from "./random_access.ts";
import { nameResolver, plain, type Storage, type TorchDtype, type View } from "./torch_globals.ts";
import { openZip, type Zip } from "./zip.ts";

export { RefusedError } from "./random_access.ts";
export type { TorchDtype } from "./torch_globals.ts";

/** A tensor that is still in its file. */
export class TorchTensor {
  readonly dtype: TorchDtype;
  readonly shape: readonly number[];
  readonly #view: View;
  readonly #source: StorageSource;

  constructor(view: View, source: StorageSource) {
    this.dtype = view.storage.dtype;
    this.shape = view.shape;
    this.#view = view;
    this.#source = source;
  }

  /**
   * Reads the values, row-major, whatever the strides; only the part of the storage that they span.
   *
   * @throws {RangeError} If the tensor leaves its storage, or the storage its file.
   */
  async values(): Promise<Elements> {
    const { storage, offset, strides, shape } = this.#view;
    const size = shape.reduce((product, length) => product * length, 1);
    const Elements = ELEMENTS[this.dtype];
    if (size === 0) return new Elements(0);
    const last = offset +
      shape.reduce((sum, length, axis) => sum + (length - 1) * strides[axis], 0);
    if (offset < 0 || strides.some((stride) => stride < 0) || last >= storage.length) {
      throw new RangeError(`a tensor of shape [${shape}] leaves its storage`);
    }
    const width = Elements.BYTES_PER_ELEMENT;
    const bytes = await this.#source(storage, offset * width, (last - offset + 1) * width);
    const span = new Elements(bytes);
    if (isRowMajor(shape, strides)) return span;
    const result = new Elements(size);
    const place = shape.map(() => 0);
    for (let i = 0, from = 0; i < size; i++) {
      result[i] = span[from];
      for (let axis = place.length - 1; axis >= 0; axis--) {
        from += strides[axis];
        if (++place[axis] < shape[axis]) break;
        from -= place[axis] * strides[axis];
        place[axis] = 0;
      }
    }
    return result;
  }
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let inner = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== inner) return false;
    inner *= shape[axis];
  }
  return true;
}

/** Reads bytes of a storage. */
type StorageSource = (storage: Storage, offset: number, size: number) => Promise<ArrayBuffer>;

/** An open checkpoint. */
export interface TorchFile extends Disposable {
  /** What was saved: records, lists, numbers, texts, and tensors to read while the file is open. */
  readonly value: unknown;
}

/**
 * Opens a checkpoint.
 *
 * @throws {RefusedError} If its pickle names a class or function that no checkpoint needs.
 * @throws {Error} If it cannot be read, is truncated or no checkpoint. Messages name the file.
 */
export function openTorch(path: string): Promise<TorchFile> {
  return openFile(path, async (file) => {
    const [first, second] = await file.at(0, Math.min(file.size, 2));
    const isZip = first === 0x50 && second === 0x4b;
    const value = isZip ? await readTorchZip(await openZip(file)) : await readTorchLegacy(file);
    return { value, [Symbol.dispose]: () => file[Symbol.dispose]() };
  });
}

/** The name of the pickle in a checkpoint's zip file, if it is one. */
export function pickleIn({ entries }: Zip): string | undefined {
  return entries.keys().find((name) => /^[^/]*\/?data\.pkl$/.test(name));
}

/** Reads what was saved in a zip file; nothing of it is executed. */
export async function readTorchZip(zip: Zip): Promise<unknown> {
  const name = pickleIn(zip);
  if (name === undefined) throw new RangeError("it is no checkpoint: it holds no data.pkl");
  const folder = name.slice(0, -"data.pkl".length);
  // CRCs are not looked at: PyTorch can be told to write none.
  const source: StorageSource = async ({ key }, offset, size) =>
    (await zip.read(`${folder}data/${key}`, offset, size)).buffer;
  return plain(unpickle(new BufferReader(await zip.read(name)), source));
}

function integer(view: DataView, offset: number): number {
  return Number(view.getBigUint64(offset, true));
}

/** What a file of the old format begins with: a pickled number. */
const MAGIC = "80028a0a6cfc9c46f9206aa850192e";

/** Whether a file begins as PyTorch's old format does. */
export async function isTorchLegacy({ at, size }: RandomAccess): Promise<boolean> {
  return (await at(0, Math.min(size, MAGIC.length / 2))).toHex() === MAGIC;
}

/** Reads what was saved in the old format; nothing of it is executed. */
export async function readTorchLegacy(file: RandomAccess): Promise<unknown> {
  if (!await isTorchLegacy(file)) throw new RangeError("it is no checkpoint of PyTorch");
  const { at, size: end } = file;
  const places = new Map<string, number>(); // where each storage begins
  const source: StorageSource = async ({ key }, offset, size) =>
    (await at(places.get(key)! + offset, size)).buffer;
  const storages = new Map<string, Storage>();
  // The pickles tell their length at their end only: more is read until they are whole.
  for (let size = Math.min(end, 2 ** 20);; size = Math.min(end, 2 * size)) {
    try {
      const stream = new BufferReader(await at(0, size));
      storages.clear();
      stream.skip(MAGIC.length / 2);
      for (let i = 0; i < 2; i++) unpickle(stream, source); // version, system
      const value = unpickle(stream, source, storages);
      const keys = unpickle(stream, source);
      if (!Array.isArray(keys)) throw new RefusedError("its list of storages is damaged");
      let p = stream.position;
      for (const key of keys) {
        const storage = storages.get(key);
        if (!storage) throw new RefusedError(`its storage ${key} belongs to no tensor`);
        const count = integer(new DataView((await at(p, 8)).buffer), 0);
        if (count !== storage.length) throw new RefusedError(`its storage ${key} is damaged`);
        places.set(key, p + 8);
        p += 8 + count * ELEMENTS[storage.dtype].BYTES_PER_ELEMENT;
      }
      if (p > end) throw new RangeError("it is truncated");
      return plain(value);
    } catch (error) {
      if (error instanceof RefusedError || size === end) throw error;
    }
  }
}

/** Reads one pickle; `storages` is told of all that its tensors lie in. */
function unpickle(
  stream: BufferReader,
  source: StorageSource,
  storages = new Map<string, Storage>(),
): unknown {
  const parser = new Parser({
    unpicklingTypeOfDictionary: "Map",
    unpicklingTypeOfSet: "Set",
    nameResolver: nameResolver((view) => new TorchTensor(view, source)),
    persistentResolver: {
      // Typed as text, but a tuple: "storage", type, key, device, elements.
      resolve(id: unknown): Storage {
        const [kind, dtype, key, , length] = id as readonly unknown[];
        if (kind !== "storage" || typeof dtype !== "string" || !Object.hasOwn(ELEMENTS, dtype)) {
          throw new RefusedError("it refers to something that is no storage");
        }
        const storage = { dtype: dtype as TorchDtype, key: String(key), length: Number(length) };
        storages.set(storage.key, storage);
        return storage;
      },
    },
  });
  try {
    return parser.read(stream);
  } catch (cause) {
    if (cause instanceof RefusedError) throw cause;
    const isShort = /end of file/i.test((cause as Error).message);
    throw new RangeError(isShort ? "it is truncated" : "its pickle is damaged", { cause });
  }
}
