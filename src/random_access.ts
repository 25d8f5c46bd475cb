/**
 * Files read by random access, so that no more of them lies in memory than is asked for.
 *
 * @module
 */

/** An open file. */
export interface RandomAccess extends Disposable {
  /** Bytes. */
  readonly size: number;
  /**
   * Reads a part, into memory of its own.
   *
   * @throws {RangeError} If the file ends before it.
   */
  at(offset: number, size: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** Raised at content that is well formed, but not let in. */
export class RefusedError extends Error {
  override name = "RefusedError";
}

/**
 * Opens a file and reads what it takes to know its content.
 *
 * @param read Gives the content; it owns the file if it succeeds.
 * @throws {RefusedError} If `read` raises it.
 * @throws {Error} If the file cannot be read. Messages name it.
 */
export async function openFile<Content>(
  path: string,
  read: (file: RandomAccess) => Promise<Content>,
): Promise<Content> {
  let file: Deno.FsFile | undefined;
  try {
    file = await Deno.open(path);
    const { size, isDirectory } = await file.stat();
    if (isDirectory) throw new RangeError("it is a folder");
    return await read(randomAccess(file, size));
  } catch (cause) {
    file?.close();
    throw unreadable(path, cause);
  }
}

/** The error that tells which file could not be read, and why. */
export function unreadable(path: string, cause: unknown): Error {
  const isMissing = cause instanceof Deno.errors.NotFound;
  // A damaged file may give things any name, of any length.
  const text = (cause as Error).message.replace(/\p{Cc}/gu, "?");
  const reason = isMissing ? "no such file" : text.length > 300 ? `${text.slice(0, 300)}…` : text;
  const Kind = cause instanceof RefusedError ? RefusedError : Error;
  return new Kind(`Cannot read ${path}: ${reason}`, { cause });
}

function randomAccess(file: Deno.FsFile, end: number): RandomAccess {
  const read = (offset: number, size: number) => {
    if (offset < 0 || offset + size > end) throw new RangeError("it is truncated");
    const bytes = new Uint8Array(size);
    // Without a pause, since reads of several tensors share the file's one position.
    file.seekSync(offset, Deno.SeekMode.Start);
    for (let done = 0; done < size;) {
      const count = file.readSync(bytes.subarray(done));
      if (count === null) throw new RangeError("it is truncated");
      done += count;
    }
    return bytes;
  };
  return {
    size: end,
    at: (offset, size) => Promise.try(read, offset, size), // what it throws, rejects
    [Symbol.dispose]: () => file.close(),
  };
}
