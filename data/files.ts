/** Files, with errors that name them in one sentence. */

import { randomUUID } from "node:crypto";
import { DataError } from "./dataset.ts";

/** What tells that a file has changed. */
export interface Stamp {
  /** Bytes. */
  readonly size: number;
  /** Milliseconds. */
  readonly mtime: number;
}

/**
 * Reads a whole file.
 *
 * @throws {DataError} If it cannot be read; the message names it.
 */
export async function readFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await Deno.readFile(path);
  } catch (cause) {
    throw new DataError(`Cannot read ${path}: ${reasonOf(cause)}`, { cause });
  }
}

/**
 * Reads a part of a file.
 *
 * @param name What errors call the part.
 * @throws {DataError} If it cannot be read or the file ends before it does.
 */
export async function readPart(
  path: string,
  { offset, size }: { readonly offset: number; readonly size: number },
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    using file = await Deno.open(path);
    await file.seek(offset, Deno.SeekMode.Start);
    const bytes = new Uint8Array(size);
    for (let filled = 0; filled < size;) {
      const count = await file.read(bytes.subarray(filled));
      if (count === null) throw new Error("the file ends before it does");
      filled += count;
    }
    return bytes;
  } catch (cause) {
    throw new DataError(`Cannot read ${name}: ${reasonOf(cause)}`, { cause });
  }
}

/**
 * What tells that a file has changed.
 *
 * @throws {DataError} If it cannot be found.
 */
export async function stampOf(path: string): Promise<Stamp> {
  try {
    const { size, mtime } = await Deno.stat(path);
    return { size, mtime: mtime?.getTime() ?? 0 };
  } catch (cause) {
    throw new DataError(`Cannot read ${path}: ${reasonOf(cause)}`, { cause });
  }
}

/**
 * Writes a file whole or not at all, with its folders.
 *
 * @param content Bytes, or what writes them to the path it is given.
 */
export async function writeAtomically(
  path: string,
  content: Uint8Array | ((temporary: string) => Promise<void>),
): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`; // other processes may write the same file
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  try {
    if (typeof content === "function") await content(temporary);
    else await Deno.writeFile(temporary, content);
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

/** A system error in a few words, without the path that the message names anyway. */
export function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "no such file";
  return (error as Error).message.replace(/ \(os error.*$/s, "");
}
