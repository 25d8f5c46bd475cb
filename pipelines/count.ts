/** How far a command is with images, as a line that counts. */

const count = new Intl.NumberFormat("en");

/** Starts a line on stderr, on a terminal only; it goes when all are done. */
export function startCount(total: number): ((done: number) => void) | undefined {
  if (!Deno.stderr.isTerminal()) return undefined;
  const encoder = new TextEncoder();
  let shown = 0;
  return (done) => {
    if (done < total && performance.now() - shown < 100) return;
    shown = performance.now();
    const line = done < total ? `${count.format(done)} of ${count.format(total)} images` : "";
    Deno.stderr.writeSync(encoder.encode(`\r${line}\x1b[K`));
  };
}
