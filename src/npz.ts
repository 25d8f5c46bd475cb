/**
 * Archives of NumPy arrays (`numpy.savez`, `numpy.load`): a zip file with a .npy file an array.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { Zip as ZipWriter, ZipPassThrough } from "fflate";
import { writeAtomically } from "./atomic_file.ts";
import { ELEMENTS, type Elements, type ElementType } from "./elements.ts";
import { encodeNpyHeader, type NpyHeader, npyStart, parseNpyHeader } from "./npy.ts";
import type { Zip } from "./zip.ts";

/** NumPy's codes; it has none for bfloat16. */
const CODES: Readonly<Record<Exclude<ElementType, "bfloat16">, string>> = {
  float64: "<f8",
  float32: "<f4",
  float16: "<f2",
  int64: "<i8",
  int32: "<i4",
  int16: "<i2",
  int8: "|i1",
  uint64: "<u8",
  uint32: "<u4",
  uint16: "<u2",
  uint8: "|u1",
  bool: "|b1",
};

const SUFFIX = ".npy";

/** An array whose values are read when they are needed. */
export interface LazyArray {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  /** Row-major. @throws {RangeError} If it is truncated or damaged. */
  read(): Promise<Elements>;
}

/** An array of texts of up to `length` characters, as NumPy's `<U…`; for writing only. */
export interface TextArray {
  readonly dtype: "text";
  readonly shape: readonly number[];
  readonly length: number;
  /** Code points `[…shape, length]`, filled up with zeros. */
  read(): Promise<Uint32Array>;
}

/** One axis of texts as an array. */
export function textArray(texts: readonly string[]): TextArray {
  const points = texts.map((text) => Array.from(text, (character) => character.codePointAt(0)!));
  const length = points.reduce((most, text) => Math.max(most, text.length), 1);
  const values = new Uint32Array(texts.length * length);
  points.forEach((text, i) => values.set(text, i * length));
  return { dtype: "text", shape: [texts.length], length, read: () => Promise.resolve(values) };
}

/** Names of the arrays in a zip file; none if it is no .npz file. */
export function arraysIn({ entries }: Zip): string[] {
  return entries.keys().filter((name) => name.endsWith(SUFFIX))
    .map((name) => name.slice(0, -SUFFIX.length)).toArray();
}

/**
 * Reads the headers of all arrays, and their elements when they are asked for.
 *
 * @throws {RangeError} If a header is damaged, or of elements that are no numbers.
 */
export async function readNpz(zip: Zip): Promise<Map<string, LazyArray>> {
  const arrays = new Map<string, LazyArray>();
  for (const name of arraysIn(zip)) arrays.set(name, await readArray(zip, name));
  return arrays;
}

async function readArray(zip: Zip, name: string): Promise<LazyArray> {
  const member = name + SUFFIX;
  const { size, crc32: expected } = zip.entries.get(member)!;
  const wrong = (what: string) => new RangeError(`${member}: ${what}`);
  const beginning = await zip.read(member, 0, Math.min(12, size));
  const head = await zip.read(member, 0, Math.min(npyStart(beginning) ?? 0, size));
  let header: NpyHeader;
  try {
    header = parseNpyHeader(head);
  } catch (cause) {
    throw wrong((cause as Error).message);
  }
  const { descr, isFortran, shape, start } = header;
  const dtype = (Object.keys(CODES) as (keyof typeof CODES)[])
    .find((type) => CODES[type] === descr || CODES[type] === `|${descr.slice(1)}`);
  if (dtype === undefined) throw wrong(`its elements are ${descr}, no little-endian numbers`);
  const Elements = ELEMENTS[dtype];
  const bytes = shape.reduce((product, length) => product * length, Elements.BYTES_PER_ELEMENT);
  if (bytes !== size - start) {
    throw wrong(`shape [${shape}] needs ${bytes} bytes, ${size - start} found`);
  }
  const read = async () => {
    const body = await zip.read(member, start, bytes);
    if (crc32(body, crc32(head)) !== expected) throw wrong("it is damaged");
    const values = new Elements(body.buffer);
    return isFortran ? transposed(values, shape) : values;
  };
  return { dtype, shape, read };
}

/** From the first axis fastest to the last axis fastest. */
function transposed(values: Elements, shape: readonly number[]): Elements {
  const result = new (values.constructor as Float32ArrayConstructor)(values.length);
  const place = shape.map(() => 0);
  for (let i = 0; i < values.length; i++) {
    let from = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) from = from * shape[axis] + place[axis];
    result[i] = values[from] as number;
    for (let axis = shape.length - 1; axis >= 0 && ++place[axis] === shape[axis]; axis--) {
      place[axis] = 0;
    }
  }
  return result;
}

/**
 * Writes arrays to `path`, uncompressed and atomically, reading one after the other.
 *
 * @throws {RangeError} If an array is bfloat16, or they take 4 GiB or more; nothing is written then.
 * @throws {Error} If an array cannot be read, or the file not be written; the message names it.
 */
export async function streamNpz(
  path: string,
  arrays: Iterable<readonly [string, LazyArray | TextArray]>,
): Promise<void> {
  const list = [...arrays];
  let total = 0;
  for (const [name, array] of list) {
    if (array.dtype === "bfloat16") {
      throw new RangeError(`Cannot write ${path}: NumPy has no bfloat16, the type of ${name}`);
    }
    total += array.shape.reduce((product, n) => product * n, itemBytes(array)) + 512;
  }
  if (total >= 2 ** 32) {
    throw new RangeError(`Cannot write ${path}: a .npz file holds less than 4 GiB here`);
  }
  await writeAtomically(path, pieces());

  async function* pieces() {
    let ready: Uint8Array[] = [];
    const zip = new ZipWriter((error, piece) => {
      if (error) throw error;
      ready.push(piece);
    });
    for (const [name, array] of list) {
      const file = new ZipPassThrough(name + SUFFIX);
      file.mtime = new Date(1980, 0, 1); // no clock, so that equal arrays give equal bytes
      zip.add(file);
      file.push(encodeNpyHeader(codeOf(array), array.shape));
      const { buffer, byteOffset, byteLength } = await array.read();
      file.push(new Uint8Array(buffer, byteOffset, byteLength), true);
      yield* ready;
      ready = [];
    }
    zip.end();
    yield* ready;
  }
}

function itemBytes(array: LazyArray | TextArray): number {
  return array.dtype === "text" ? 4 * array.length : ELEMENTS[array.dtype].BYTES_PER_ELEMENT;
}

function codeOf(array: LazyArray | TextArray): string {
  return array.dtype === "text" ? `<U${array.length}` : CODES[array.dtype as keyof typeof CODES];
}

/** Whether NumPy has an element type. */
export function isNumpyType(type: ElementType): boolean {
  return type in CODES;
}
