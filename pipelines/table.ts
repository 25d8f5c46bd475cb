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
