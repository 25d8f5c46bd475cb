/**
 * The safetensors file format (https://github.com/huggingface/safetensors): eight bytes of header
 * length, a JSON header, then the tensors' bytes without gaps, all little-endian.
 *
 * Files written here load with Python's `safetensors.torch.load_file`, and equal input gives equal
 * bytes.
 */

import { writeAtomically } from "./atomic_file.ts";
import { ELEMENTS } from "./elements.ts";
import type { RandomAccess } from "./random_access.ts";
import {
  countOf,
  elementBytes,
  encodeHeader,
  type Entry,
  headerLength,
  parseHeader,
  type SafetensorDtype,
  TYPES,
} from "./safetensors_header.ts";

export type { SafetensorDtype } from "./safetensors_header.ts";

/** Typed array that holds the elements of each dtype; F16 and BF16 stay raw bits. */
export type SafetensorData = {
  [D in SafetensorDtype]: InstanceType<typeof ELEMENTS[typeof TYPES[D]]>;
};

/** One stored tensor, row-major; `dtype` decides the type of `data`. */
export type Safetensor = {
  [D in SafetensorDtype]: {
    readonly dtype: D;
    readonly shape: readonly number[];
    readonly data: SafetensorData[D];
  };
}[SafetensorDtype];

/** Content of a safetensors file; tensors keep the order of the header. */
export interface Safetensors {
  readonly tensors: Map<string, Safetensor>;
  readonly metadata: Record<string, string>;
}

/**
 * Parses a safetensors file.
 *
 * @param bytes The whole file. Tensors that are aligned in it share its memory.
 * @returns Tensors in header order, and the string metadata.
 * @throws {RangeError} If the header, an offset or a shape is not valid; one sentence without the
 * file's name, which the caller may prefix.
 */
export function readSafetensors(bytes: Uint8Array): Safetensors {
  const start = 8 + headerLength(bytes.subarray(0, 8), bytes.length);
  const body = bytes.subarray(start);
  const { entries, metadata } = parseHeader(bytes.subarray(8, start), body.length);
  return {
    tensors: new Map(entries.map((entry) => [entry.name, viewTensor(entry, body)])),
    metadata,
  };
}

/**
 * Reads and parses a safetensors file.
 *
 * @throws {Error} If it cannot be read or is not valid; the message names the file.
 */
export async function loadSafetensors(path: string): Promise<Safetensors> {
  try {
    return readSafetensors(await Deno.readFile(path));
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "No such file"
      : (error as Error).message;
    throw new Error(`Cannot read ${path}: ${reason}`, { cause: error });
  }
}

/** A tensor whose values are read when they are needed. */
export interface LazySafetensor<D extends SafetensorDtype = SafetensorDtype> {
  readonly dtype: D;
  readonly shape: readonly number[];
  /** @throws {RangeError} If the file is truncated. */
  read(): Promise<SafetensorData[D]>;
}

/** Reads the header of an open file, and its tensors when they are asked for. */
export async function openSafetensors(
  { at, size }: RandomAccess,
): Promise<{ tensors: Map<string, LazySafetensor>; metadata: Record<string, string> }> {
  const start = 8 + headerLength(await at(0, Math.min(8, size)), size);
  const { entries, metadata } = parseHeader(await at(8, start - 8), size - start);
  const tensors = entries.map(({ name, dtype, shape, begin, end }) => {
    const read = async () =>
      new ELEMENTS[TYPES[dtype]]((await at(start + begin, end - begin)).buffer);
    return [name, { dtype, shape, read }] as const;
  });
  return { tensors: new Map(tensors), metadata };
}

/**
 * Encodes tensors as one safetensors file.
 *
 * @param tensors Names with tensors; the header keeps their order.
 * @param metadata Strings, in the order of their keys.
 * @throws {RangeError} If a name repeats or a shape does not fit its data.
 * @throws {TypeError} If the data's type is not the dtype's.
 */
export function encodeSafetensors(
  tensors: Iterable<readonly [string, Safetensor]>,
  metadata: Record<string, string> = {},
): Uint8Array<ArrayBuffer> {
  const chunks = encodeChunks([...tensors], metadata);
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/**
 * Writes tensors to `path`, atomically and without a copy of them.
 *
 * @throws {RangeError | TypeError} As {@linkcode encodeSafetensors}; nothing is written then.
 * @throws {Error} If the file cannot be written; the message names it.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, Safetensor]>,
  metadata: Record<string, string> = {},
): Promise<void> {
  await writeAtomically(path, encodeChunks([...tensors], metadata));
}

/**
 * Writes tensors to `path`, atomically, reading one after the other.
 *
 * @throws {RangeError} If a name repeats; nothing is written then.
 * @throws {Error} If a tensor cannot be read, or the file not be written; the message names it.
 */
export async function streamSafetensors(
  path: string,
  tensors: Iterable<readonly [string, LazySafetensor]>,
  metadata: Record<string, string> = {},
): Promise<void> {
  const { header, layout } = encodeHeader([...tensors], metadata);
  await writeAtomically(path, pieces());

  async function* pieces() {
    yield header;
    for (const [name, { read, ...tensor }] of layout) {
      const data = await read();
      checkTensor(name, { ...tensor, data } as Safetensor);
      yield bytesOf(data);
    }
  }
}

/** Header, then each tensor's bytes in file order, as views. */
function encodeChunks(
  tensors: readonly (readonly [string, Safetensor])[],
  metadata: Record<string, string>,
): Uint8Array[] {
  const { header, layout } = encodeHeader(tensors, metadata);
  for (const [name, tensor] of tensors) checkTensor(name, tensor);
  return [header, ...layout.map(([, { data }]) => bytesOf(data))];
}

function bytesOf({ buffer, byteOffset, byteLength }: Safetensor["data"]): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function checkTensor(name: string, { dtype, shape, data }: Safetensor): void {
  const Expected = ELEMENTS[TYPES[dtype]];
  if (!(data instanceof Expected)) {
    throw new TypeError(
      `Cannot encode tensor ${name}: ${dtype} needs ${Expected.name}, got ${
        (data as object).constructor.name
      }`,
    );
  }
  if (countOf(shape) !== data.length) {
    throw new RangeError(
      `Cannot encode tensor ${name}: shape [${shape}] needs ${countOf(shape)} elements, ` +
        `got ${data.length}`,
    );
  }
}

function viewTensor({ dtype, shape, begin, end }: Entry, body: Uint8Array): Safetensor {
  const size = elementBytes(dtype);
  const aligned = (body.byteOffset + begin) % size === 0;
  const bytes = aligned ? body.subarray(begin, end) : body.slice(begin, end);
  const data = new ELEMENTS[TYPES[dtype]](
    bytes.buffer as ArrayBuffer,
    bytes.byteOffset,
    bytes.byteLength / size,
  );
  return { dtype, shape, data } as Safetensor; // TYPES pairs them
}
