/** Mistakes on the command line: one sentence, exit code 2. */

/** A mistake in what the user asked for, as opposed to a failure while doing it. */
export class UsageError extends RangeError {
  override readonly name = "UsageError";
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
