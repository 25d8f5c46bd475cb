/**
 * Journals of a run: files of JSON lines that only grow, and lose no line to a full disk.
 *
 * @module
 */

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
  const text = await Deno.readTextFile(path).catch(() => "");
  const lines = text.split("\n").map(parse<Line>).filter((line) => line !== undefined);
  let size = 0; // bytes that are surely whole
  let pending = "";
  const journal: Journal<Line> = {
    lines,
    async append(more) {
      lines.push(...more);
      pending += textOf(more);
      if (pending === "") return;
      const bytes = new TextEncoder().encode(pending);
      try {
        using file = await Deno.open(path, { write: true, create: true });
        await file.truncate(size); // what a full disk left of the lines before
        await file.seek(size, Deno.SeekMode.Start);
        for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
      } catch (cause) {
        throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
      }
      size += bytes.length;
      pending = "";
    },
    async cut(step) {
      const kept = lines.filter((line) => line.step <= step);
      lines.splice(0, lines.length, ...kept);
      const whole = textOf(kept);
      pending = "";
      try {
        await Deno.writeTextFile(`${path}.tmp`, whole);
        await Deno.rename(`${path}.tmp`, path);
      } catch (cause) {
        throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
      }
      size = new TextEncoder().encode(whole).length;
    },
    async sync() {
      await journal.append([]);
      if (size === 0) return;
      using file = await Deno.open(path, { write: true });
      await file.sync();
    },
  };
  if (text !== "") await journal.cut(step);
  return journal;
}

function textOf(lines: readonly object[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}

function parse<Line>(text: string): Line | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // empty, or torn by a killed process
  }
}
