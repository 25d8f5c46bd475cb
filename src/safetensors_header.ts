/**
 * The header of a safetensors file: what it says of its tensors, checked.
 *
 * @module
 */
import { ELEMENTS, type ElementType } from "./elements.ts";

/** Names of the element types in the file. */
export const TYPES = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  I64: "int64",
  I32: "int32",
  I16: "int16",
  I8: "int8",
  U64: "uint64",
  U32: "uint32",
  U16: "uint16",
  U8: "uint8",
  BOOL: "bool",
} as const satisfies Record<string, ElementType>;

/** Element type, by its name in the file. */
export type SafetensorDtype = keyof typeof TYPES;

const METADATA = "__metadata__";
const MAX_HEADER_BYTES = 100_000_000; // the limit of the Rust implementation

/** Where a tensor lies. */
export interface Entry {
  readonly name: string;
  readonly dtype: SafetensorDtype;
  readonly shape: number[];
  /** Bytes from the end of the header. */
  readonly begin: number;
  readonly end: number;
}

/** A header, whose tensors keep their order. */
export interface Header {
  readonly entries: readonly Entry[];
  readonly metadata: Record<string, string>;
}

/**
 * How long the header is, from the eight bytes before it.
 *
 * @param fileBytes Length of the whole file.
 * @throws {RangeError} If the file is shorter.
 */
export function headerLength(start: Uint8Array, fileBytes: number): number {
  if (start.length < 8) {
    throw new RangeError(`Not a safetensors file: ${start.length} bytes, at least 8 are needed`);
  }
  const length = Number(new DataView(start.buffer, start.byteOffset).getBigUint64(0, true));
  if (length > fileBytes - 8 || length > MAX_HEADER_BYTES) {
    throw new RangeError(
      `Header length ${length} exceeds the ${fileBytes - 8} bytes that follow it`,
    );
  }
  return length;
}

/**
 * Reads a header.
 *
 * @param bytes The JSON text.
 * @param bodyBytes Bytes that follow it; the tensors must fill them.
 * @throws {RangeError} If the text, an offset or a shape is not valid.
 */
export function parseHeader(bytes: Uint8Array, bodyBytes: number): Header {
  const { names, header } = parseJson(bytes);
  const entries = names.filter((name) => name !== METADATA)
    .map((name) => parseEntry(name, header[name]));
  checkLayout(entries, bodyBytes);
  return { entries, metadata: parseMetadata(header[METADATA]) };
}

/**
 * Lays tensors out.
 *
 * @param tensors Names with tensors; the header keeps their order.
 * @returns The header with the length before it, and the tensors in the order of the data.
 * @throws {RangeError} If a name repeats.
 */
export function encodeHeader<
  T extends Pick<Entry, "dtype"> & { readonly shape: readonly number[] },
>(
  tensors: readonly (readonly [string, T])[],
  metadata: Record<string, string>,
): { header: Uint8Array; layout: (readonly [string, T])[] } {
  const names = new Set([METADATA]);
  for (const [name] of tensors) {
    if (names.has(name)) {
      throw new RangeError(`Cannot encode tensor ${name}: the name is already taken`);
    }
    names.add(name);
  }
  // PyTorch needs each tensor aligned to its element and the format allows no gaps, so wide
  // elements come first in the data.
  const layout = tensors.toSorted(([, a], [, b]) => elementBytes(b.dtype) - elementBytes(a.dtype));
  const ends = new Map<string, number>();
  let offset = 0;
  for (const [name, tensor] of layout) ends.set(name, offset += bytesIn(tensor));
  // Joined by hand: an object would move integer-like names to the front.
  const fields = tensors.map(([name, { dtype, shape }]) => {
    const end = ends.get(name)!;
    const entry = { dtype, shape, data_offsets: [end - bytesIn({ dtype, shape }), end] };
    return `${JSON.stringify(name)}:${JSON.stringify(entry)}`;
  });
  if (Object.keys(metadata).length > 0) {
    fields.unshift(`"${METADATA}":${JSON.stringify(metadata)}`);
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20); // spaces
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return { header, layout };
}

function bytesIn({ dtype, shape }: { dtype: SafetensorDtype; shape: readonly number[] }): number {
  return countOf(shape) * elementBytes(dtype);
}

function parseJson(bytes: Uint8Array): { names: string[]; header: Record<string, unknown> } {
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
  if (typeof dtype !== "string" || !Object.hasOwn(TYPES, dtype)) {
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

/** Elements of a tensor. */
export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Bytes of one element. */
export function elementBytes(dtype: SafetensorDtype): number {
  return ELEMENTS[TYPES[dtype]].BYTES_PER_ELEMENT;
}
