/**
 * `deno task compare` and `deno task report`: pages about runs that are there already.
 *
 * @module
 */
import { basename, dirname } from "node:path";
import { readRun, type RunRecord } from "./report/record.ts";
import { writePage, writeReport } from "./report/report.ts";
import { parseWords, UsageError } from "./usage.ts";

const COMPARE_HELP = `Show runs side by side on one page.

  deno task compare RUN RUN … [--out FILE]

Options:
  --out FILE     Where to write (default compare.html)
  --help

Example:
  deno task compare runs/quickstart runs/quickstart-2`;

const REPORT_HELP = `Write the report of a run again.

  deno task report RUN

It goes to RUN/report.html.`;

/**
 * Compares runs and prints the path of the page.
 *
 * @returns The exit code.
 * @throws {UsageError} If a folder holds no run; the message names it.
 */
export async function compareCommand(args: readonly string[]): Promise<number> {
  const { values, positionals: folders } = parseWords(
    args,
    { out: { type: "string" } },
    "see deno task compare --help",
  );
  if (values.help) {
    console.log(COMPARE_HELP);
    return 0;
  }
  if (folders.length < 2) {
    throw new UsageError(`Expected two or more run folders, got ${folders[0] ?? "none"}`);
  }
  const path = values.out ?? "compare.html";
  await checkTarget(path);
  const runs: RunRecord[] = [];
  for (const folder of folders) runs.push(await askedFor(() => readRun(folder)));
  const { renderComparison } = await import("./report/comparison.ts");
  await askedFor(() => writePage(path, renderComparison(runs)));
  console.log(path);
  return 0;
}

/**
 * Renders a run's report again and prints its path.
 *
 * @returns The exit code.
 * @throws {UsageError} If the folder holds no run; the message names it.
 */
export async function reportCommand(args: readonly string[]): Promise<number> {
  const { values, positionals: folders } = parseWords(args, {}, "see deno task report --help");
  if (values.help) {
    console.log(REPORT_HELP);
    return 0;
  }
  if (folders.length !== 1) {
    throw new UsageError(`Expected one run folder, got ${folders.join(" and ") || "none"}`);
  }
  console.log(await askedFor(() => writeReport(folders[0])));
  return 0;
}

/** @throws {UsageError} If the page would take the place of a folder or of a run's report. */
async function checkTarget(path: string): Promise<void> {
  const isThere = (path: string, kind: "isFile" | "isDirectory") =>
    Deno.stat(path).then((info) => info[kind], () => false);
  if (await isThere(path, "isDirectory")) {
    throw new UsageError(`Cannot write ${path}: it is a folder, and --out takes a file`);
  }
  if (basename(path) === "report.html" && await isThere(`${dirname(path)}/recipe.json`, "isFile")) {
    throw new UsageError(`Cannot write ${path}: it is the report of a run`);
  }
}

/** What fails here fails because of a path that was asked for. */
async function askedFor<Result>(act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}
