/**
 * Images in NumPy's array files: `[H, W]` or `[H, W, C]` of bytes, or of 16 bits whose high byte is
 * kept.
 */

import { encodeNpyHeader, type NpyHeader, parseNpyHeader } from "../src/npy.ts";
import { DataError } from "./dataset.ts";
import type { Image } from "./resize.ts";

export { isNpy } from "../src/npy.ts";

/**
 * Reads an image from the bytes of a .npy file.
 *
 * @param name What errors call the file.
 * @returns Image `[H, W, C]`; a 2-D array has one channel.
 * @throws {DataError} If it is no such file, not a whole one, or no image of 8 or 16 bits.
 */
export function parseNpy(bytes: Uint8Array<ArrayBuffer>, name: string): Image {
  const wrong = (what: string) => new DataError(`Cannot decode ${name}: ${what}`);
  let header: NpyHeader;
  try {
    header = parseNpyHeader(bytes);
  } catch (cause) {
    throw wrong((cause as Error).message);
  }
  const { descr: type, isFortran, shape, start } = header;
  const bits = { "|u1": 8, "<u1": 8, ">u1": 8, "<u2": 16, ">u2": 16 }[type];
  if (!bits) throw wrong(`its elements are ${type}, not uint8 or uint16`);
  if (isFortran) throw wrong("it is in Fortran order, not in C order");
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
  const header = encodeNpyHeader("|u1", [height, width, channels]);
  const bytes = new Uint8Array(header.length + pixels.length);
  bytes.set(header);
  bytes.set(pixels, header.length);
  return bytes;
}
