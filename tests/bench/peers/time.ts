/** How long a call takes, if so many calls take as long as they should. */

/** Starts so many calls, and waits until all of them have been computed. */
export type Run = (calls: number) => Promise<void>;

/** Shorter samples would measure the wait for the device. */
const SAMPLE_MS = 200;
const MOST_CALLS = 8;

/**
 * Median milliseconds a call.
 *
 * @param repeats Samples that the median is taken of.
 * @throws {Error} If twice the calls do not take about twice as long: then something is not computed.
 */
export async function measure(run: Run, repeats: number): Promise<number> {
  await run(1); // compiles
  const once = await time(run, 1);
  const calls = Math.min(MOST_CALLS, Math.max(1, Math.round(SAMPLE_MS / once)));
  const samples: number[] = [];
  for (let i = 0; i < repeats; i++) samples.push(await time(run, calls));
  const median = samples.sort((a, b) => a - b)[repeats >> 1];
  const ratios: string[] = [];
  for (let attempt = 0; attempt < 5; attempt++) {
    const ratio = await time(run, 2 * calls) / await time(run, calls);
    if (ratio > 1.5 && ratio < 3) return median / calls;
    ratios.push(ratio.toFixed(2));
  }
  throw new Error(
    `does not scale with calls: ${2 * calls} take ${ratios.join(", ")} times as long as ${calls}`,
  );
}

async function time(run: Run, calls: number): Promise<number> {
  const start = performance.now();
  await run(calls);
  return performance.now() - start;
}
