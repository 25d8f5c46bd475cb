/**
 * Whether a video file is whole, by the sizes that it states itself: a cut file may decode to fewer
 * frames without an error.
 */

import { DataError } from "../dataset.ts";
import { readPart, reasonOf, stampOf } from "../files.ts";

/**
 * Checks that a file is there, holds something and does not end before it says it does.
 *
 * @throws {DataError} If not; the message names the file.
 */
export async function checkWhole(path: string): Promise<void> {
  const { size } = await stampOf(path);
  if (size === 0) throw new DataError(`Cannot decode ${path}: the file is empty`);
  const stated = await statedSize(path, size);
  if (stated !== undefined && stated > size) {
    throw new DataError(
      `Cannot decode ${path}: it is truncated, ${size} of ${stated} bytes are there; ` +
        "copy or download it again",
    );
  }
}

/**
 * Bytes that a file has by its own account; undefined if it does not say, or is of another kind
 * than MP4 and MOV (ISO 14496-12), Matroska and WebM (RFC 8794), or AVI (RIFF).
 *
 * @param size Bytes that are there.
 */
async function statedSize(path: string, size: number): Promise<number | undefined> {
  const read = async (offset: number, length: number) => {
    const part = { offset, size: Math.max(0, Math.min(length, size - offset)) };
    const bytes = await readPart(path, part, path);
    return new DataView(bytes.buffer);
  };
  try {
    const head = await read(0, 80);
    if (head.byteLength < 16) return undefined;
    const name = word(head, 0);
    if (name === "RIFF") return head.getUint32(4, true) + 8;
    if (head.getUint32(0) === EBML) return matroskaSize(head);
    return BOXES.has(word(head, 4)) ? await boxesSize(read, size) : undefined;
  } catch (error) {
    throw new DataError(`Cannot read ${path}: ${reasonOf(error)}`, { cause: error });
  }
}

const EBML = 0x1a45dfa3;
const SEGMENT = 0x18538067;
/** What an MP4 or MOV file begins with. */
const BOXES = new Set(["ftyp", "styp", "moov", "mdat", "free", "skip", "wide", "pnot"]);

async function boxesSize(
  read: (offset: number, length: number) => Promise<DataView>,
  size: number,
): Promise<number> {
  for (let offset = 0;;) {
    const box = await read(offset, 16);
    // What is no box at the end is no part of the file.
    if (box.byteLength < 8 || !/^[\x20-\x7e\xa9]{4}$/.test(word(box, 4))) return offset;
    const short = box.getUint32(0);
    if (short === 0) return size; // up to the end, however far
    if (short === 1 && box.byteLength < 16) return size + 1;
    const length = short === 1 ? Number(box.getBigUint64(8)) : short;
    if (length < 8) return offset;
    offset += length;
    if (offset >= size) return offset;
  }
}

/** End of the segment, which holds all the rest. */
function matroskaSize(head: DataView): number | undefined {
  const header = variable(head, 4);
  const segment = header && 4 + header.bytes + header.value;
  if (!segment || segment + 12 > head.byteLength || head.getUint32(segment) !== SEGMENT) {
    return undefined;
  }
  const length = variable(head, segment + 4);
  return length && segment + 4 + length.bytes + length.value;
}

/** An EBML size: leading zeros tell its bytes; all ones mean that it is unknown. */
function variable(view: DataView, offset: number): { value: number; bytes: number } | undefined {
  const first = view.getUint8(offset);
  const bytes = Math.clz32(first) - 23;
  if (bytes > 8) return undefined;
  let value = first & (0xff >> bytes);
  for (let i = 1; i < bytes; i++) value = value * 256 + view.getUint8(offset + i);
  return value >= 2 ** (7 * bytes) - 1 ? undefined : { value, bytes };
}

function word(view: DataView, offset: number): string {
  return String.fromCharCode(...new Uint8Array(view.buffer, view.byteOffset + offset, 4));
}
