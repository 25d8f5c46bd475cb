/** `report.html`: one page about a run, which needs nothing but itself. */
import { readRun } from "./record.ts";

/**
 * Writes the report of a run beside its other files.
 *
 * @returns The path.
 * @throws {Error} If the run cannot be read or the page not written; the message names the file.
 */
export async function writeReport(folder: string): Promise<string> {
  // What draws takes a while to load, and a run need not wait for it before its first report.
  const [run, { renderReport }] = await Promise.all([readRun(folder), import("./page.ts")]);
  const path = `${folder}/report.html`;
  await writePage(path, renderReport(run));
  return path;
}

/**
 * Writes a page; readers see the old one or the new.
 *
 * @throws {Error} If that fails; the message names the file.
 */
export async function writePage(path: string, page: string): Promise<void> {
  try {
    await Deno.writeTextFile(`${path}.tmp`, page);
    await Deno.rename(`${path}.tmp`, path);
  } catch (cause) {
    await Deno.remove(`${path}.tmp`).catch(() => {}); // it may not be there
    throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}
