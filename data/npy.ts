/**
 * NumPy's array files (numpy.lib.format), versions 1 and 2: a magic number, a header that is a
 * Python dictionary, then the elements. Images are `[H, W]` or `[H, W, C]` of bytes, or of 16 bits
 * whose high byte is kept.
 */

import { DataError } from "./dataset.ts";
import type { Image } from "./resize.ts";

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY

/** Whether bytes begin as a .npy file does. */
export function isNpy(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => bytes[i] === byte);
}

/**
 * Reads an image from the bytes of a .npy file.
 *
 * @param name What errors call the file.
 * @returns Image `[H, W, C]`; a 2-D array has one channel.
 * @throws {DataError} If it is no such file, not a whole one, or no image of 8 or 16 bits.
 */
export function parseNpy(bytes: Uint8Array<ArrayBuffer>, name: string): Image {
  const wrong = (what: string) => new DataError(`Cannot decode ${name}: ${what}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!isNpy(bytes) || bytes.length < 12) throw wrong("it is not a .npy file");
  const [version, head] = [bytes[6], bytes[6] === 1 ? 10 : 12];
  if (version !== 1 && version !== 2) throw wrong(`it is .npy version ${version}, not 1 or 2`);
  const start = head + (version === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  const header = new TextDecoder("latin1").decode(bytes.subarray(head, start));
  const type = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  const axes = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1];
  if (start > bytes.length || type === undefined || order === undefined || axes === undefined) {
    throw wrong("its .npy header is truncated or damaged");
  }
  const bits = { "|u1": 8, "<u1": 8, ">u1": 8, "<u2": 16, ">u2": 16 }[type];
  if (!bits) throw wrong(`its elements are ${type}, not uint8 or uint16`);
  if (order === "True") throw wrong("it is in Fortran order, not in C order");
  const shape = axes.split(",").filter((axis) => axis.trim() !== "").map(Number);
  const [height, width, channels = 1] = shape;
  if (shape.length < 2 || shape.length > 3 || shape.includes(0)) {
    throw wrong(`its shape is [${shape}], not [H, W] or [H, W, C]`);
  }
  const size = height * width * channels;
  const found = bytes.length - start;
  if (found !== size * bits / 8) {
    throw wrong(`shape [${shape}] needs ${size * bits / 8} bytes, ${found} found`);
  }
  const data = bytes.subarray(start);
  const high = type === "<u2" ? 1 : 0;
  const pixels = bits === 8
    ? data
    : Uint8Array.from({ length: size }, (_, i) => data[2 * i + high]);
  return { width, height, channels, pixels };
}

/** The bytes of a .npy file of an image, `[H, W, C]` of uint8. */
export function encodeNpy({ width, height, channels, pixels }: Image): Uint8Array<ArrayBuffer> {
  const shape = `(${height}, ${width}, ${channels})`;
  const text = `{'descr': '|u1', 'fortran_order': False, 'shape': ${shape}, }`;
  const start = Math.ceil((10 + text.length + 1) / 64) * 64; // the elements begin aligned
  const bytes = new Uint8Array(start + pixels.length);
  bytes.set([...MAGIC, 1, 0, (start - 10) & 255, (start - 10) >> 8]);
  bytes.set(new TextEncoder().encode(text.padEnd(start - 11) + "\n"), 10);
  bytes.set(pixels, start);
  return bytes;
}
