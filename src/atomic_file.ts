/**
 * Writes a file atomically: a reader sees the old file or the whole new one.
 *
 * Pieces are written as they come, so memory does not grow with the file. A failed write removes
 * its temporary file, `<path>.tmp`.
 *
 * @throws {Error} If a piece cannot be had or written; the message names the file.
 */
export async function writeAtomically(
  path: string,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const temporary = `${path}.tmp`; // same folder, so that the rename stays on one file system
  try {
    using file = await Deno.open(temporary, { write: true, create: true, truncate: true });
    for await (const piece of pieces) {
      for (let done = 0; done < piece.length;) done += await file.write(piece.subarray(done));
    }
    await file.sync();
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {}); // may not exist; the first error matters
    throw new Error(`Cannot write ${path}: ${(error as Error).message}`, { cause: error });
  }
}
