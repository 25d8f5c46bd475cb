import { decode, type DecodedPng, hasPngSignature } from "fast-png";
import { DataError } from "../dataset.ts";
import { readFile } from "../files.ts";

/** A class of each pixel. */
export interface Mask {
  readonly width: number;
  readonly height: number;
  /** `[height, width]`. */
  readonly labels: Uint16Array<ArrayBuffer>;
}

const ADVICE = "save it as a grey or palette PNG";

/**
 * Decodes a PNG whose samples are class indices: grey of any bits, or a palette's numbers as they
 * are, whatever the palette's colours.
 *
 * @throws {DataError} If the file cannot be read, is damaged, or holds colours or anything else.
 */
export async function decodeMask(path: string): Promise<Mask> {
  const bytes = await readFile(path);
  if (bytes.length === 0) throw new DataError(`Cannot decode ${path}: the file is empty`);
  if (!hasPngSignature(bytes)) {
    const found = bytes[0] === 0xff && bytes[1] === 0xd8
      ? "holds colours, not class indices"
      : "is no PNG of class indices";
    throw new DataError(`Cannot use mask ${path}: it ${found}: ${ADVICE}`);
  }
  const { width, height, depth, channels, data } = decodePng(bytes, path);
  if (channels !== 1) {
    const found = channels === 2 ? "holds an alpha channel" : "holds colours, not class indices";
    throw new DataError(`Cannot use mask ${path}: it ${found}: ${ADVICE}`);
  }
  const labels = depth < 8 ? unpack(data, width, height, depth) : new Uint16Array(data);
  return { width, height, labels };
}

function decodePng(bytes: Uint8Array<ArrayBuffer>, path: string): DecodedPng {
  const [bits, interlace] = [bytes[24], bytes[28]]; // of the header, which comes first
  if (interlace && bits < 8) { // fast-png takes such samples for bytes
    throw new DataError(
      `Cannot decode ${path}: it is interlaced, of ${bits} bits a pixel: save it without interlacing`,
    );
  }
  try {
    return decode(bytes, { checkCrc: true });
  } catch (cause) {
    throw new DataError(`Cannot decode ${path}: it is truncated or damaged`, { cause });
  }
}

/** Takes samples of less than 8 bits out of their bytes; each row begins with a new one. */
function unpack(
  data: ArrayLike<number>,
  width: number,
  height: number,
  bits: number,
): Uint16Array<ArrayBuffer> {
  const labels = new Uint16Array(width * height);
  const stride = Math.ceil(width * bits / 8);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to++) {
      const bit = x * bits;
      labels[to] = data[y * stride + (bit >> 3)] >> (8 - bits - (bit & 7)) & ((1 << bits) - 1);
    }
  }
  return labels;
}
