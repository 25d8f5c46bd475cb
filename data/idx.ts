/**
 * IDX, the file format of MNIST and Fashion-MNIST (http://yann.lecun.com/exdb/mnist): a magic
 * number that gives type and rank, the shape, then the elements, all big-endian.
 */

import { DataError, type Dataset } from "./dataset.ts";
import { readFile } from "./files.ts";
import type { Image } from "./resize.ts";

/** Bytes of any shape, row-major. */
export interface Idx {
  readonly shape: readonly number[];
  readonly data: Uint8Array<ArrayBuffer>;
}

const UNSIGNED_BYTE = 0x08;

/**
 * Reads an IDX file of bytes, gzipped or not.
 *
 * @throws {DataError} If the file cannot be read, or is no such file or not a whole one.
 */
export async function readIdx(path: string): Promise<Idx> {
  const bytes = await inflate(await readFile(path), path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || view.getUint16(0) !== 0 || view.getUint8(2) !== UNSIGNED_BYTE) {
    throw new DataError(`Cannot read ${path}: it is not an IDX file of bytes`);
  }
  const rank = view.getUint8(3);
  const header = 4 + 4 * rank;
  if (bytes.length < header) throw new DataError(`Cannot read ${path}: its header is truncated`);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, length) => product * length, 1);
  if (bytes.length - header !== size) {
    throw new DataError(
      `Cannot read ${path}: shape [${shape}] needs ${size} bytes, ${bytes.length - header} found`,
    );
  }
  return { shape, data: bytes.subarray(header) };
}

/**
 * Reads the grey images of an IDX file `[N, H, W]`.
 *
 * @throws {DataError} As {@linkcode readIdx}, or if the shape is another.
 */
export async function idxImages(path: string): Promise<Dataset<Image>> {
  const { shape, data } = await readIdx(path);
  if (shape.length !== 3 || shape.includes(0)) {
    throw new DataError(`Cannot read images of ${path}: its shape is [${shape}], not [N, H, W]`);
  }
  const [length, height, width] = shape;
  const area = width * height;
  return {
    length,
    get(index) {
      const pixels = data.slice(index * area, (index + 1) * area);
      return Promise.resolve({ width, height, channels: 1, pixels });
    },
  };
}

/**
 * Reads the labels of an IDX file `[N]`.
 *
 * @throws {DataError} As {@linkcode readIdx}, or if the shape is another.
 */
export async function idxLabels(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const { shape, data } = await readIdx(path);
  if (shape.length !== 1) {
    throw new DataError(`Cannot read labels of ${path}: its shape is [${shape}], not [N]`);
  }
  return data;
}

async function inflate(
  bytes: Uint8Array<ArrayBuffer>,
  path: string,
): Promise<Uint8Array<ArrayBuffer>> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    // The platform's gzip verifies length and checksum.
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (cause) {
    throw new DataError(`Cannot read ${path}: its gzip data are truncated or damaged`, { cause });
  }
}
