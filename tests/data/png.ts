import { crc32, deflateSync } from "node:zlib";

/**
 * Encodes a PNG, independently of the decoder under test.
 *
 * @param type Colour type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
 * @param samples Bytes in row order, big-endian for 16 bits; packed for less than 8.
 * @param extra Chunks before the pixels, such as PLTE.
 */
export function encodePng(
  { width, height, type, bits = 8, samples, extra = [] }: {
    width: number;
    height: number;
    type: number;
    bits?: 1 | 2 | 4 | 8 | 16;
    samples: number[];
    extra?: [name: string, bytes: number[]][];
  },
): Uint8Array {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([bits, type], 8);
  const stride = samples.length / height;
  const rows = Array.from({ length: height }, (_, y) => [
    0, // no filter
    ...samples.slice(y * stride, (y + 1) * stride),
  ]).flat();
  return Uint8Array.from([
    ...[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
    ...chunk("IHDR", [...header]),
    ...extra.flatMap(([name, bytes]) => chunk(name, bytes)),
    ...chunk("IDAT", [...deflateSync(Uint8Array.from(rows))]),
    ...chunk("IEND", []),
  ]);
}

function chunk(name: string, bytes: number[]): number[] {
  const body = [...new TextEncoder().encode(name), ...bytes];
  return [...word(bytes.length), ...body, ...word(crc32(Uint8Array.from(body)))];
}

function word(value: number): number[] {
  return [value >>> 24, value >>> 16 & 255, value >>> 8 & 255, value & 255];
}
