import { Buffer } from "node:buffer";
import { Header, Pax } from "tar";
import { DataError } from "./dataset.ts";
import { reasonOf } from "./files.ts";

/** A file in a tar file. */
export interface TarMember {
  readonly name: string;
  /** Where its bytes begin in the tar file. */
  readonly offset: number;
  readonly size: number;
  /** Reads its bytes; only before the next member is asked for. */
  read(): Uint8Array;
}

const BLOCK = 512;
const WINDOW = 8192; // a header is often followed by a small member and the next header

const FILES = ["File", "OldFile", "ContiguousFile"];
const EMPTY = ["Link", "SymbolicLink", "Directory", "CharacterDevice", "BlockDevice", "FIFO"];

/** Headers that say something about the next file. */
const LONG_NAMES = ["NextFileHasLongPath", "OldGnuLongPath"];
const EXTENDED = ["ExtendedHeader", "OldExtendedHeader"];

/**
 * Goes through the files of a tar file by their headers, without reading what lies between; with
 * the long names of POSIX (pax) and GNU. A hard link stands for the file that it leads to.
 *
 * @throws {DataError} If it cannot be read, is no tar file or is truncated; names the member.
 */
export function* tarMembers(path: string): Generator<TarMember, void, void> {
  using file = open(path);
  const { size: end } = file.statSync();
  const read = windowed(file);
  let global: Pax | undefined;
  let extended: Pax | undefined;
  const places = new Map<string, { offset: number; size: number }>(); // for hard links
  for (let at = 0; at < end;) {
    const block = read(at, BLOCK);
    if (block.length < BLOCK) {
      throw new DataError(`Cannot read ${path}: it is truncated within the header at byte ${at}`);
    }
    const header = new Header(block, 0, extended, global);
    if (header.nullBlock) return;
    if (!header.cksumValid) {
      throw new DataError(`Cannot read ${path}: it has no valid tar header at byte ${at}`);
    }
    const { type, path: name = "" } = header;
    const size = EMPTY.includes(type) ? 0 : header.size ?? 0;
    const offset = at + BLOCK;
    if (offset + size > end) {
      throw new DataError(`Cannot read ${path}: it is truncated within ${name}`);
    }
    const content = () => read(offset, size);
    at = offset + Math.ceil(size / BLOCK) * BLOCK;
    if (EXTENDED.includes(type)) extended = Pax.parse(String(content()), extended);
    else if (type === "GlobalExtendedHeader") global = Pax.parse(String(content()), global, true);
    else if (LONG_NAMES.includes(type)) {
      extended = new Pax({ ...extended, path: String(content()).replace(/\0.*$/s, "") });
    } else if (type !== "NextFileHasLongLinkpath") {
      const place = type === "Link"
        ? places.get(header.linkpath ?? "")
        : FILES.includes(type)
        ? { offset, size }
        : undefined;
      if (place) {
        places.set(name, place);
        yield { name, ...place, read: () => read(place.offset, place.size) };
      }
      extended = undefined;
    }
  }
}

function open(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path);
  } catch (cause) {
    throw new DataError(`Cannot read ${path}: ${reasonOf(cause)}`, { cause });
  }
}

/** Reads at any place, a window at a time; fewer bytes at the file's end. */
function windowed(file: Deno.FsFile): (offset: number, size: number) => Buffer {
  let start = 0;
  let held = Buffer.alloc(0);
  return (offset, size) => {
    if (offset < start || offset + size > start + held.length) {
      const buffer = Buffer.alloc(Math.max(size, WINDOW));
      file.seekSync(offset, Deno.SeekMode.Start);
      let filled = 0;
      for (let count: number | null = 1; count && filled < buffer.length; filled += count ?? 0) {
        count = file.readSync(buffer.subarray(filled));
      }
      start = offset;
      held = buffer.subarray(0, filled);
    }
    return held.subarray(offset - start, offset - start + size);
  };
}
