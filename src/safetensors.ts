/**
 * The safetensors file format (https://github.com/huggingface/safetensors): eight bytes of header
 * length, a JSON header, then the tensors' bytes without gaps, all little-endian.
 *
 * Files written here load with Python's `safetensors.torch.load_file`, and equal input gives equal
 * bytes.
 */

/** Typed array that holds the elements of each dtype; F16 and BF16 stay raw bits. */
export interface SafetensorData {
  F64: Float64Array;
  F32: Float32Array;
  F16: Uint16Array;
  BF16: Uint16Array;
  I64: BigInt64Array;
  I32: Int32Array;
  U32: Uint32Array;
  I8: Int8Array;
  U8: Uint8Array;
  BOOL: Uint8Array;
}

/** Element type, by its name in the file. */
export type SafetensorDtype = keyof SafetensorData;

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

const ARRAYS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  I32: Int32Array,
  U32: Uint32Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

const METADATA = "__metadata__";
const MAX_HEADER_BYTES = 100_000_000; // the limit of the Rust implementation

/**
 * Parses a safetensors file.
 *
 * @param bytes The whole file. Tensors that are aligned in it share its memory.
 * @returns Tensors in header order, and the string metadata.
 * @throws {RangeError} If the header, an offset or a shape is not valid; one sentence without the
 * file's name, which the caller may prefix.
 */
export function readSafetensors(bytes: Uint8Array): Safetensors {
  if (bytes.length < 8) {
    throw new RangeError(`Not a safetensors file: ${bytes.length} bytes, at least 8 are needed`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = Number(view.getBigUint64(0, true));
  if (headerBytes > bytes.length - 8 || headerBytes > MAX_HEADER_BYTES) {
    throw new RangeError(
      `Header length ${headerBytes} exceeds the ${bytes.length - 8} bytes that follow it`,
    );
  }
  const { names, header } = parseHeader(bytes.subarray(8, 8 + headerBytes));
  const body = bytes.subarray(8 + headerBytes);
  const entries = names.filter((name) => name !== METADATA)
    .map((name) => parseEntry(name, header[name]));
  checkLayout(entries, body.length);
  const tensors = new Map(entries.map((entry) => [entry.name, viewTensor(entry, body)]));
  return { tensors, metadata: parseMetadata(header[METADATA]) };
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
 * Writes tensors to `path`, atomically: a reader sees the old file or the whole new one.
 *
 * Tensors are streamed, so memory does not grow with the file. A failed write removes its
 * temporary file, `<path>.tmp`.
 *
 * @throws {RangeError | TypeError} As {@linkcode encodeSafetensors}; nothing is written then.
 * @throws {Error} If the file cannot be written; the message names it.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, Safetensor]>,
  metadata: Record<string, string> = {},
): Promise<void> {
  const chunks = encodeChunks([...tensors], metadata);
  const temporary = `${path}.tmp`; // same folder, so that the rename stays on one file system
  try {
    using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
    for (const chunk of chunks) {
      for (let done = 0; done < chunk.length;) done += await file.write(chunk.subarray(done));
    }
    await file.sync();
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {}); // may not exist; the first error matters
    throw new Error(`Cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Header, then each tensor's bytes in file order, as views. */
function encodeChunks(
  tensors: readonly (readonly [string, Safetensor])[],
  metadata: Record<string, string>,
): Uint8Array[] {
  const names = new Set<string>();
  for (const [name, tensor] of tensors) {
    if (name === METADATA || names.has(name)) {
      throw new RangeError(`Cannot encode tensor ${name}: the name is already taken`);
    }
    names.add(name);
    checkTensor(name, tensor);
  }
  // PyTorch needs each tensor aligned to its element and the format allows no gaps, so wide
  // elements come first in the data.
  const layout = tensors.toSorted(([, a], [, b]) => elementBytes(b.dtype) - elementBytes(a.dtype));
  const begins = new Map<string, number>();
  let offset = 0;
  for (const [name, { data }] of layout) {
    begins.set(name, offset);
    offset += data.byteLength;
  }
  // Joined by hand: an object would move integer-like names to the front.
  const fields = tensors.map(([name, { dtype, shape, data }]) => {
    const begin = begins.get(name)!;
    const entry = { dtype, shape, data_offsets: [begin, begin + data.byteLength] };
    return `${JSON.stringify(name)}:${JSON.stringify(entry)}`;
  });
  if (Object.keys(metadata).length > 0) {
    fields.unshift(`"${METADATA}":${JSON.stringify(metadata)}`);
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20); // spaces
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  const bodies = layout.map(([, { data }]) =>
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  );
  return [header, ...bodies];
}

function checkTensor(name: string, { dtype, shape, data }: Safetensor): void {
  if (!(data instanceof ARRAYS[dtype])) {
    throw new TypeError(
      `Cannot encode tensor ${name}: ${dtype} needs ${ARRAYS[dtype].name}, got ${
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

interface Entry {
  name: string;
  dtype: SafetensorDtype;
  shape: number[];
  begin: number; // bytes from the end of the header
  end: number;
}

function parseHeader(bytes: Uint8Array): { names: string[]; header: Record<string, unknown> } {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch {
    throw new RangeError("Header is not valid JSON in UTF-8");
  }
  if (!isRecord(header)) throw new RangeError("Header is not a JSON object");
  const names = topLevelKeys(text);
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw new RangeError(`Header names ${name} twice`);
    seen.add(name);
  }
  return { names, header };
}

/** Keys of a valid JSON object in their order, repeated ones too, which `JSON.parse` hides. */
function topLevelKeys(json: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/g)) {
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
    else if (depth === 1 && token.endsWith(":")) keys.push(JSON.parse(token.slice(0, -1)));
  }
  return keys;
}

function parseEntry(name: string, entry: unknown): Entry {
  if (!isRecord(entry)) throw new RangeError(`Tensor ${name} is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !Object.hasOwn(ARRAYS, dtype)) {
    throw new RangeError(`Tensor ${name} has unknown dtype ${JSON.stringify(dtype)}`);
  }
  if (!isCounts(shape)) {
    throw new RangeError(`Tensor ${name} has invalid shape ${JSON.stringify(shape)}`);
  }
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw new RangeError(`Tensor ${name} has invalid data_offsets ${JSON.stringify(offsets)}`);
  }
  const [begin, end] = offsets;
  const needed = countOf(shape) * elementBytes(dtype as SafetensorDtype);
  if (needed !== end - begin) {
    throw new RangeError(
      `Tensor ${name} of shape [${shape}] and dtype ${dtype} needs ${needed} bytes, ` +
        `got ${end - begin}`,
    );
  }
  return { name, dtype: dtype as SafetensorDtype, shape, begin, end };
}

/** Tensors must tile the data exactly, as the format demands. */
function checkLayout(entries: readonly Entry[], bodyBytes: number): void {
  let covered = 0;
  for (
    const { name, begin, end } of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)
  ) {
    if (begin < covered) throw new RangeError(`Tensor ${name} overlaps the one before it`);
    if (begin > covered) {
      throw new RangeError(
        `Bytes ${covered} to ${begin} before tensor ${name} belong to no tensor`,
      );
    }
    if (end > bodyBytes) {
      throw new RangeError(
        `Tensor ${name} ends at byte ${end}, but the file holds ${bodyBytes} bytes of data`,
      );
    }
    covered = end;
  }
  if (covered !== bodyBytes) {
    throw new RangeError(`The last ${bodyBytes - covered} bytes belong to no tensor`);
  }
}

function viewTensor({ dtype, shape, begin, end }: Entry, body: Uint8Array): Safetensor {
  const size = elementBytes(dtype);
  const aligned = (body.byteOffset + begin) % size === 0;
  const bytes = aligned ? body.subarray(begin, end) : body.slice(begin, end);
  const data = new ARRAYS[dtype](
    bytes.buffer as ArrayBuffer,
    bytes.byteOffset,
    bytes.byteLength / size,
  );
  return { dtype, shape, data } as Safetensor; // ARRAYS pairs them
}

function parseMetadata(metadata: unknown): Record<string, string> {
  if (metadata === undefined) return {};
  if (!isRecord(metadata)) throw new RangeError(`${METADATA} is not a JSON object`);
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string") throw new RangeError(`${METADATA} key ${key} is not a string`);
  }
  return metadata as Record<string, string>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function elementBytes(dtype: SafetensorDtype): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}
