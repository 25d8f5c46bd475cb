/**
 * Journals of a run: files of JSON lines that only grow, and lose no line to a full disk.
 *
 * @module
 */

import { writeWhole } from "./run_folder.ts";

/** One line; `step` tells when. */
export interface Entry {
  readonly step: number;
}

/** An open journal. */
export interface Journal<Line extends Entry> {
  /** All lines, those from before the run was continued too. */
  readonly lines: readonly Line[];
  /**
   * Appends lines.
   *
   * @throws {Error} If the disk is full or gone; the lines are kept and written with the next ones.
   */
  append(lines: readonly Line[]): Promise<void>;
  /** Drops the lines of later steps, which will be done again. */
  cut(step: number): Promise<void>;
  /** Waits until all lines are on the disk. */
  sync(): Promise<void>;
}

/**
 * Opens the journal of a run at a step; a torn last line and lines of later steps are dropped.
 *
 * @throws {Error} If the file cannot be written; the message names it.
 */
export async function openJournal<Line extends Entry>(
  path: string,
  step: number,
): Promise<Journal<Line>> {
  const text = await Deno.readTextFile(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return "";
    throw new Error(`Cannot read ${path}: ${error.message}`, { cause: error });
  });
  const lines = text.split("\n").map(parse<Line>).filter((line) => line !== undefined);
  let size = 0; // bytes that are surely whole
  let pending = new Uint8Array();
  const writePending = async () => {
    try {
      using file = await Deno.open(path, { write: true, create: true });
      await file.truncate(size); // what is to go, or what a full disk left of the lines before
      await file.seek(size, Deno.SeekMode.Start);
      for (let done = 0; done < pending.length;) done += await file.write(pending.subarray(done));
    } catch (cause) {
      throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
    }
    size += pending.length;
    pending = new Uint8Array();
  };
  /** Makes the file hold exactly the lines, of which it has the first bytes already. */
  const hold = async (bytes: Uint8Array<ArrayBuffer>, sure: number) => {
    size = Math.min(sure, bytes.length);
    pending = bytes.slice(size);
    await writePending();
  };
  const journal: Journal<Line> = {
    lines,
    async append(more) {
      lines.push(...more);
      const bytes = bytesOf(more);
      if (pending.length + bytes.length === 0) return;
      const joined = new Uint8Array(pending.length + bytes.length);
      joined.set(pending);
      joined.set(bytes, pending.length);
      pending = joined;
      await writePending();
    },
    async cut(step) {
      const kept = lines.filter((line) => line.step <= step);
      lines.splice(0, lines.length, ...kept);
      await hold(bytesOf(kept), size);
    },
    async sync() {
      await journal.append([]);
      if (size === 0) return;
      using file = await Deno.open(path, { write: true });
      await file.sync();
    },
  };
  const before = new TextEncoder().encode(text);
  lines.splice(0, lines.length, ...lines.filter((line) => line.step <= step));
  const kept = bytesOf(lines);
  if (!kept.every((byte, i) => byte === before[i])) {
    await writeWhole(path, new TextDecoder().decode(kept));
  }
  if (text !== "") await hold(kept, kept.length);
  return journal;
}

function bytesOf(lines: readonly object[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

function parse<Line>(text: string): Line | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // empty, or torn by a killed process
  }
}
