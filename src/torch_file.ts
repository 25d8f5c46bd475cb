/**
 * Checkpoints of PyTorch (`torch.save`), in the zip format and the one before it, read by random
 * access: tensors stay in the file until they are asked for, and nothing in it is executed.
 *
 * @module
 */
import { inflateSync } from "fflate";
import { BufferReader, Parser } from "pickleparser";
import {
  nameResolver,
  plain,
  RefusedError,
  type Storage,
  type TorchDtype,
  type View,
} from "./torch_globals.ts";

export { RefusedError, type TorchDtype } from "./torch_globals.ts";

const ELEMENTS = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array, // raw bits, as bfloat16
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

/** Values of a tensor. */
export type TorchArray = InstanceType<typeof ELEMENTS[TorchDtype]>;

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
  async values(): Promise<TorchArray> {
    const { storage, offset, strides, shape } = this.#view;
    const size = shape.reduce((product, length) => product * length, 1);
    const Elements = ELEMENTS[this.dtype];
    const result = new Elements(size);
    if (size === 0) return result;
    const last = offset +
      shape.reduce((sum, length, axis) => sum + (length - 1) * strides[axis], 0);
    if (offset < 0 || strides.some((stride) => stride < 0) || last >= storage.length) {
      throw new RangeError(`a tensor of shape [${shape}] leaves its storage`);
    }
    const width = Elements.BYTES_PER_ELEMENT;
    const bytes = await this.#source(storage, offset * width, (last - offset + 1) * width);
    const span = new Elements(bytes);
    if (isRowMajor(shape, strides)) return span;
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
export async function openTorch(path: string): Promise<TorchFile> {
  let file: Deno.FsFile | undefined;
  try {
    file = await Deno.open(path);
    const { size } = await file.stat();
    const at = reader(file, size);
    const [first, second] = await at(0, Math.min(size, 2));
    const value = first === 0x50 && second === 0x4b
      ? await openZip(at, size)
      : await openLegacy(at, size);
    const opened = file;
    return { value: plain(value), [Symbol.dispose]: () => opened.close() };
  } catch (cause) {
    file?.close();
    const reason = cause instanceof Deno.errors.NotFound
      ? "no such file"
      : (cause as Error).message;
    const Kind = cause instanceof RefusedError ? RefusedError : Error;
    throw new Kind(`Cannot read ${path}: ${reason}`, { cause });
  }
}

type ReadAt = (offset: number, size: number) => Promise<Uint8Array<ArrayBuffer>>;

function reader(file: Deno.FsFile, end: number): ReadAt {
  const read: ReadAt = (offset, size) => {
    if (offset < 0 || offset + size > end) throw new RangeError("it is truncated");
    const bytes = new Uint8Array(size);
    // Without a pause, since reads of several tensors share the file's one position.
    file.seekSync(offset, Deno.SeekMode.Start);
    for (let done = 0; done < size;) {
      const count = file.readSync(bytes.subarray(done));
      if (count === null) throw new RangeError("it is truncated");
      done += count;
    }
    return Promise.resolve(bytes);
  };
  return async (...args) => await read(...args); // what it throws, rejects
}

/** A file in a zip file. */
interface ZipEntry {
  readonly isDeflated: boolean;
  readonly packed: number; // bytes in the file
  readonly size: number;
  readonly header: number; // offset of its local header
}

async function openZip(at: ReadAt, end: number): Promise<unknown> {
  const entries = await zipEntries(at, end);
  const name = [...entries.keys()].find((name) => /^[^/]*\/?data\.pkl$/.test(name));
  if (name === undefined) throw new RangeError("it is no checkpoint: it holds no data.pkl");
  const folder = name.slice(0, -"data.pkl".length);
  const read = async (name: string, offset = 0, size?: number) => {
    const entry = entries.get(name);
    if (!entry) throw new RangeError(`it holds no ${name}`);
    const local = new DataView((await at(entry.header, 30)).buffer);
    if (local.getUint32(0, true) !== 0x04034b50) throw new RangeError(`${name} is damaged`);
    const start = entry.header + 30 + local.getUint16(26, true) + local.getUint16(28, true);
    const wanted = size ?? entry.size;
    if (offset + wanted > entry.size) throw new RangeError(`${name} is truncated`);
    if (!entry.isDeflated) return await at(start + offset, wanted);
    const out = inflateSync(await at(start, entry.packed), { out: new Uint8Array(entry.size) });
    return out.slice(offset, offset + wanted);
  };
  const source: StorageSource = async ({ key }, offset, size) =>
    (await read(`${folder}data/${key}`, offset, size)).buffer;
  return unpickle(new BufferReader(await read(name)), source);
}

/** The central directory of a zip file, ZIP64 too. */
async function zipEntries(at: ReadAt, end: number): Promise<Map<string, ZipEntry>> {
  const tail = Math.min(end, 65557); // the last record, with the longest comment
  const bytes = await at(end - tail, tail);
  const view = new DataView(bytes.buffer);
  let last = tail - 22;
  while (last >= 0 && view.getUint32(last, true) !== 0x06054b50) last--;
  if (last < 0) throw new RangeError("it is truncated: a zip file without its directory");
  let count = view.getUint16(last + 10, true);
  let size = view.getUint32(last + 12, true);
  let start = view.getUint32(last + 16, true);
  if (start === 0xffffffff || size === 0xffffffff || count === 0xffff) {
    const locator = last - 20;
    if (locator < 0 || view.getUint32(locator, true) !== 0x07064b50) {
      throw new RangeError("its ZIP64 directory is missing");
    }
    const record = new DataView((await at(integer(view, locator + 8), 56)).buffer);
    [count, size, start] = [32, 40, 48].map((offset) => integer(record, offset));
  }
  const directory = await at(start, size);
  const fields = new DataView(directory.buffer);
  const entries = new Map<string, ZipEntry>();
  for (let i = 0, p = 0; i < count; i++) {
    if (p + 46 > size || fields.getUint32(p, true) !== 0x02014b50) {
      throw new RangeError("its zip directory is damaged");
    }
    const [name, extra, comment] = [28, 30, 32].map((offset) => fields.getUint16(p + offset, true));
    const method = fields.getUint16(p + 10, true);
    const text = new TextDecoder().decode(directory.subarray(p + 46, p + 46 + name));
    if (method !== 0 && method !== 8) throw new RangeError(`${text} is packed by method ${method}`);
    const wide = zip64Fields(fields, p + 46 + name, extra);
    const number = (offset: number) => {
      const value = fields.getUint32(p + offset, true);
      return value === 0xffffffff ? wide.shift() ?? value : value;
    };
    const unpacked = number(24);
    const packed = number(20);
    const header = number(42);
    entries.set(text, { isDeflated: method === 8, packed, size: unpacked, header });
    p += 46 + name + extra + comment;
  }
  return entries;
}

/** Numbers that did not fit into 32 bits, in their order. */
function zip64Fields(view: DataView, start: number, length: number): number[] {
  for (let p = start; p + 4 <= start + length;) {
    const size = view.getUint16(p + 2, true);
    if (view.getUint16(p, true) === 1) {
      return Array.from({ length: Math.floor(size / 8) }, (_, i) => integer(view, p + 4 + 8 * i));
    }
    p += 4 + size;
  }
  return [];
}

function integer(view: DataView, offset: number): number {
  return Number(view.getBigUint64(offset, true));
}

/** What a file of the old format begins with: a pickled number. */
const MAGIC = "80028a0a6cfc9c46f9206aa850192e";

async function openLegacy(at: ReadAt, end: number): Promise<unknown> {
  const starts = (await at(0, Math.min(end, MAGIC.length / 2))).toHex();
  if (starts !== MAGIC) throw new RangeError("it is no checkpoint of PyTorch");
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
      const keys = unpickle(stream, source) as string[];
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
      return value;
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
        if (kind !== "storage" || typeof dtype !== "string" || !(dtype in ELEMENTS)) {
          throw new RefusedError(`it refers to ${String(id)}, which is no storage`);
        }
        const storage = { dtype: dtype as TorchDtype, key: String(key), length: Number(length) };
        storages.set(storage.key, storage);
        return storage;
      },
    },
  });
  return parser.read(stream);
}
