/** Tables for people. */

/** Aligned columns: the first to the left, numbers to the right; without empty ones. */
export function table(all: readonly (readonly string[])[]): string[] {
  const full = all[0].map((_, column) => all.slice(1).some((row) => row[column] !== ""));
  const rows = all.map((row) => row.filter((_, column) => full[column]));
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))
      .join("   ").trimEnd()
  );
}

/** Lines of a listing that are shown. */
const LISTED = 20;
const count = new Intl.NumberFormat("en");

/** A list under the number of its lines; the first 20 of them. */
export function listing(title: string, lines: readonly string[]): string[] {
  return [
    "",
    `${count.format(lines.length)} ${title}`,
    ...shorten(lines, LISTED).map((line) => `  ${line}`),
  ];
}

/** The first lines, and how many more there are. */
export function shorten(lines: readonly string[], most: number): string[] {
  if (lines.length <= most) return [...lines];
  return [...lines.slice(0, most), `… and ${count.format(lines.length - most)} more (see --json)`];
}
