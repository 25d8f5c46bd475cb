/**
 * The header of NumPy's array files (numpy.lib.format), versions 1 and 2: a magic number, then a
 * Python dictionary of the elements' type, their order and the shape.
 *
 * @module
 */

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY

/** What a header says. */
export interface NpyHeader {
  /** Type of the elements: `<f4`, `|u1` … */
  readonly descr: string;
  /** Whether the first axis is the fastest. */
  readonly isFortran: boolean;
  readonly shape: readonly number[];
  /** Where the elements begin, in bytes. */
  readonly start: number;
}

/** Whether bytes begin as a .npy file does. */
export function isNpy(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => bytes[i] === byte);
}

/** Where the elements begin, from the first twelve bytes; `undefined` if it is no .npy file. */
export function npyStart(bytes: Uint8Array): number | undefined {
  if (!isNpy(bytes) || bytes.length < 12) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return bytes[6] === 1 ? 10 + view.getUint16(8, true) : 12 + view.getUint32(8, true);
}

/**
 * Reads a header.
 *
 * @param bytes The file, or as much of it as `npyStart` says.
 * @throws {RangeError} If it is no .npy file, of another version, truncated or damaged; one
 * sentence without the file's name, which the caller may prefix.
 */
export function parseNpyHeader(bytes: Uint8Array): NpyHeader {
  const start = npyStart(bytes);
  if (start === undefined) throw new RangeError("it is not a .npy file");
  const version = bytes[6];
  if (version !== 1 && version !== 2) {
    throw new RangeError(`it is .npy version ${version}, not 1 or 2`);
  }
  const text = new TextDecoder("latin1").decode(bytes.subarray(version === 1 ? 10 : 12, start));
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const axes = /'shape':\s*\(([\d,\s]*)\)/.exec(text)?.[1];
  if (start > bytes.length || descr === undefined || order === undefined || axes === undefined) {
    throw new RangeError("its .npy header is truncated or damaged");
  }
  const shape = axes.split(",").filter((axis) => axis.trim() !== "").map(Number);
  return { descr, isFortran: order === "True", shape, start };
}

/** The header of an array in C order. */
export function encodeNpyHeader(descr: string, shape: readonly number[]): Uint8Array<ArrayBuffer> {
  const axes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${axes}), }`;
  const start = Math.ceil((10 + text.length + 1) / 64) * 64; // the elements begin aligned
  const bytes = new TextEncoder().encode(" ".repeat(10) + text.padEnd(start - 11) + "\n");
  bytes.set([...MAGIC, 1, 0, (start - 10) & 255, (start - 10) >> 8]);
  return bytes;
}
