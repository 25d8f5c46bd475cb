/**
 * Zip files, read by random access and written as a stream (APPNOTE 6.3, ZIP64 when reading).
 *
 * @module
 */
import { Inflate } from "fflate";
import type { RandomAccess } from "./random_access.ts";

/** A file in a zip file. */
export interface ZipEntry {
  readonly isDeflated: boolean;
  /** Bytes in the zip file. */
  readonly packed: number;
  /** Bytes. */
  readonly size: number;
  readonly crc32: number;
  /** Offset of its local header. */
  readonly header: number;
}

/** An open zip file. */
export interface Zip {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /**
   * Reads a part of an entry; all of it if nothing else is said.
   *
   * @throws {RangeError} If there is no such entry or part, or it is damaged.
   */
  read(name: string, offset?: number, size?: number): Promise<Uint8Array<ArrayBuffer>>;
}

const PIECE = 2 ** 16; // packed bytes that are inflated at once
const MOST = 1032; // bytes that one deflated byte can stand for, at most

/** @throws {RangeError} If the directory is missing or damaged. */
export async function openZip(file: RandomAccess): Promise<Zip> {
  const entries = await zipEntries(file);
  const read = async (name: string, offset = 0, size?: number) => {
    const entry = entries.get(name);
    if (!entry) throw new RangeError(`it holds no ${name}`);
    const local = new DataView((await file.at(entry.header, 30)).buffer);
    if (local.getUint32(0, true) !== 0x04034b50) throw new RangeError(`${name} is damaged`);
    const start = entry.header + 30 + local.getUint16(26, true) + local.getUint16(28, true);
    const wanted = size ?? entry.size;
    if (offset + wanted > entry.size) throw new RangeError(`${name} is truncated`);
    if (!entry.isDeflated) return await file.at(start + offset, wanted);
    if (entry.size > MOST * entry.packed) throw new RangeError(`${name} is damaged`);
    try {
      return await inflatePart(file, start, entry.packed, offset, wanted);
    } catch (cause) {
      throw new RangeError(`${name} is damaged`, { cause });
    }
  };
  return { entries, read };
}

/** Inflates as far as it must, and keeps what is wanted. */
async function inflatePart(
  file: RandomAccess,
  start: number,
  packed: number,
  offset: number,
  size: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const wanted = new Uint8Array(size);
  let place = 0; // of what comes out next
  const inflate = new Inflate((bytes) => {
    const from = Math.max(0, offset - place);
    const to = Math.min(bytes.length, offset + size - place);
    if (from < to) wanted.set(bytes.subarray(from, to), place + from - offset);
    place += bytes.length;
  });
  for (let done = 0; place < offset + size;) {
    const piece = Math.min(PIECE, packed - done);
    if (piece === 0) throw new RangeError("it ends early");
    inflate.push(await file.at(start + done, piece), (done += piece) === packed);
  }
  return wanted;
}

async function zipEntries(file: RandomAccess): Promise<Map<string, ZipEntry>> {
  const tail = Math.min(file.size, 65557); // the last record, with the longest comment
  const bytes = await file.at(file.size - tail, tail);
  const view = new DataView(bytes.buffer);
  let last = tail - 22;
  while (last >= 0 && view.getUint32(last, true) !== 0x06054b50) last--;
  if (last < 0) throw new RangeError("it is truncated: a zip file without its directory");
  let count = view.getUint16(last + 10, true);
  let size = view.getUint32(last + 12, true);
  let start = view.getUint32(last + 16, true);
  if (start === 0xffffffff || size === 0xffffffff || count === 0xffff) {
    const locator = last - 20;
    if (locator < 0 || view.getUint32(locator, true) !== 0x07064b50) {
      throw new RangeError("its ZIP64 directory is missing");
    }
    const record = new DataView((await file.at(integer(view, locator + 8), 56)).buffer);
    [count, size, start] = [32, 40, 48].map((offset) => integer(record, offset));
  }
  const directory = await file.at(start, size);
  const fields = new DataView(directory.buffer);
  const entries = new Map<string, ZipEntry>();
  for (let i = 0, p = 0; i < count; i++) {
    if (p + 46 > size || fields.getUint32(p, true) !== 0x02014b50) {
      throw new RangeError("its zip directory is damaged");
    }
    const [name, extra, comment] = [28, 30, 32].map((offset) => fields.getUint16(p + offset, true));
    const method = fields.getUint16(p + 10, true);
    const text = new TextDecoder().decode(directory.subarray(p + 46, p + 46 + name));
    if (method !== 0 && method !== 8) throw new RangeError(`${text} is packed by method ${method}`);
    if (p + 46 + name + extra > size) throw new RangeError("its zip directory is damaged");
    const wide = zip64Fields(fields, p + 46 + name, extra);
    const number = (offset: number) => {
      const value = fields.getUint32(p + offset, true);
      return value === 0xffffffff ? wide.shift() ?? value : value;
    };
    const unpacked = number(24);
    const packed = number(20);
    const header = number(42);
    const crc32 = fields.getUint32(p + 16, true);
    entries.set(text, { isDeflated: method === 8, packed, size: unpacked, crc32, header });
    p += 46 + name + extra + comment;
  }
  return entries;
}

/** Numbers that did not fit into 32 bits, in their order. */
function zip64Fields(view: DataView, start: number, length: number): number[] {
  for (let p = start; p + 4 <= start + length;) {
    const size = view.getUint16(p + 2, true);
    if (view.getUint16(p, true) === 1) {
      return Array.from({ length: Math.floor(size / 8) }, (_, i) => integer(view, p + 4 + 8 * i));
    }
    p += 4 + size;
  }
  return [];
}

function integer(view: DataView, offset: number): number {
  return Number(view.getBigUint64(offset, true));
}
