/**
 * What an evaluation leaves: tables for people, the bad files on stderr, and one line of JSON.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import type { EvalRequest } from "./request.ts";
import { UsageError } from "../usage.ts";

/** What an evaluation found. */
export interface Result {
  /** Name of the evaluation. */
  readonly task: string;
  /** Lines for people. */
  readonly lines: readonly string[];
  /** Fields of the last line. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Bad files, with the reason. */
  readonly skipped?: ReadonlyMap<string, string>;
}

/** Prints a result; its last line is one JSON object. @returns The exit code. */
export function conclude(
  { checkpoint }: EvalRequest<unknown>,
  { task, lines, values, skipped = new Map() }: Result,
): number {
  if (skipped.size > 0) {
    console.error(`Skipped ${skipped.size} bad file${skipped.size === 1 ? "" : "s"}:`);
    for (const [, reason] of [...skipped].sort()) console.error(`  ${reason}`);
  }
  for (const line of lines) console.log(line);
  const bad = skipped.size > 0 && { skipped: skipped.size };
  console.log(JSON.stringify({ task, ...values, ...bad, checkpoint }));
  return 0;
}

/** A share with four decimals, for programs. */
export function rounded(share: number): number {
  return Number(share.toFixed(4));
}

/** A share in percent, for people. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

/**
 * Looks for what would keep a file from being written, before work is done for it.
 *
 * @param extensions Those it may have.
 * @param data Folder that must not get it; left out where the file would be ignored there.
 * @throws {UsageError} If it cannot be written.
 */
export async function checkOutput(
  path: string | undefined,
  extensions: readonly string[],
  data?: string,
): Promise<string> {
  const names = extensions.map((extension) => `FILE${extension}`).join(" or ");
  if (!path) throw new UsageError(`Option --out is needed: --out ${names}`);
  if (!extensions.some((extension) => path.endsWith(extension))) {
    throw new UsageError(`Cannot write ${path}: name it ${names}`);
  }
  const isFolder = (path: string) =>
    Deno.stat(path).then(({ isDirectory }) => isDirectory, () => false);
  if (await isFolder(path)) throw new UsageError(`Cannot write ${path}: it is a folder`);
  if (!await isFolder(dirname(path))) {
    throw new UsageError(`Cannot write ${path}: there is no folder ${dirname(path)}`);
  }
  if (data !== undefined && resolve(path).startsWith(`${resolve(data)}/`)) {
    throw new UsageError(`Cannot write ${path}: it would become an image of ${data}`);
  }
  return path;
}
