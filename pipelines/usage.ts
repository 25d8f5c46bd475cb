/** Mistakes on the command line: one sentence, exit code 2. */

import { parseArgs, type ParseArgsConfig } from "node:util";

/** A mistake in what the user asked for, as opposed to a failure while doing it. */
export class UsageError extends RangeError {
  override readonly name = "UsageError";
}

/** Options of a command, by name; every command also takes `--help`. */
export type Options = NonNullable<ParseArgsConfig["options"]>;

/**
 * Splits arguments into options and words.
 *
 * @param advice Ends the message about an option that is not right.
 * @throws {UsageError} If an option is unknown or lacks its value.
 */
export function parseWords<const T extends Options>(
  args: readonly string[],
  options: T,
  advice: string,
) {
  const help = { type: "boolean", short: "h" } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { ...options, help },
    });
  } catch (cause) {
    const [message] = (cause as Error).message.split(/\.\s/);
    throw new UsageError(`${message}: ${advice}`, { cause });
  }
}

/**
 * The candidate with the fewest edits from `name`, for "did you mean".
 *
 * @returns `undefined` if none is near: more than half of the longer name would change.
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let fewest = Infinity;
  for (const candidate of candidates) {
    const edits = editDistance(name, candidate);
    if (edits < fewest && edits <= Math.max(name.length, candidate.length) / 2) {
      best = candidate;
      fewest = edits;
    }
  }
  return best;
}

/** Levenshtein distance: insertions, deletions and replacements, each counted one. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, above[j] + 1, row[j - 1] + 1));
    }
  }
  return row[b.length];
}

/** Lines of a help text: each recipe's name, then what it follows. */
export function recipeLines(
  recipes: readonly { readonly name: string; readonly source: string }[],
): string {
  return recipes.map(({ name, source }) => `  ${name.padEnd(26)}${source}`).join("\n");
}
