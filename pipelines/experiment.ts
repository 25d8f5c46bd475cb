/**
 * Several runs in one folder, to be compared: what is finished is not done again.
 *
 * @module
 */
import { exists, FILES, writeWhole } from "./run_folder.ts";
import { UsageError } from "./usage.ts";

/** @throws {UsageError} If a folder holds runs of other settings. */
export async function checkSettings(out: string, about: string): Promise<void> {
  const path = `${out}/settings.json`;
  if (!await exists(path)) {
    await Deno.mkdir(out, { recursive: true });
    return await writeWhole(path, `${about}\n`);
  }
  const found = (await Deno.readTextFile(path)).trim();
  if (found === about) return;
  throw new UsageError(`Folder ${out} holds runs of other settings, ${found}: name another --out`);
}

/** Runs a training command in a folder, from its start or from where it stopped. */
export async function runOrResume(
  command: (args: readonly string[]) => Promise<number>,
  recipe: string,
  folder: string,
  options: readonly string[],
  fresh: readonly string[] = [],
): Promise<number> {
  const begun = await exists(`${folder}/${FILES.recipe}`);
  const where = ["--out", folder, ...options];
  return await command([recipe, ...(begun ? ["--resume"] : fresh), ...where]);
}
