/**
 * A row of `deno task fashion` in a process of its own: what to measure as JSON on stdin, the figures
 * as JSON on stdout, what is being done on stderr.
 *
 * @module
 */
import { openDevice } from "../src/device.ts";
import {
  type FashionResult,
  type FashionSettings,
  measureWay,
  openFashion,
  type Way,
} from "./fashion.ts";

/** What a row needs to know; plain data. */
export interface RowRequest extends Pick<FashionSettings, "folder" | "finetuning" | "probe"> {
  /** Folder of the IDX files. */
  readonly data: string;
  /** Images of each split; all if left out. */
  readonly images?: number;
  readonly way: Way;
  readonly seed: number;
}

const COMMAND =
  "run --no-prompt --allow-read --allow-write --allow-env --allow-ffi --allow-sys=cpus";

/**
 * Measures a row in another process.
 *
 * @param threads That a CPU adapter (Mesa's) may compute with; 0: with the one that asks.
 * @param signal Ends the process.
 * @throws {Error} If that process fails; it has said why on stderr.
 */
export async function measureRow(
  request: RowRequest,
  threads: number,
  signal: AbortSignal,
): Promise<FashionResult> {
  const child = new Deno.Command("deno", {
    args: [...COMMAND.split(" "), import.meta.url],
    env: { LP_NUM_THREADS: String(threads) },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
    signal,
  }).spawn();
  const answer = new Response(child.stdout).text();
  await new Blob([JSON.stringify(request)]).stream().pipeTo(child.stdin);
  const { success } = await child.status;
  if (!success) throw new Error(`${request.way.name}, seed ${request.seed}: not measured`);
  return JSON.parse(await answer);
}

/** Says on stderr what is being done, every ten seconds at most. */
function speaker(about: string): (text: string) => void {
  let spoken = -Infinity;
  return (text) => {
    if (performance.now() - spoken < 10_000) return;
    spoken = performance.now();
    console.error(`${about}: ${text}`);
  };
}

if (import.meta.main) {
  const { data, images, way, seed, ...settings }: RowRequest = await new Response(
    Deno.stdin.readable,
  ).json();
  const about = `${way.name}, seed ${seed}`;
  try {
    const opened = await openFashion(data, images);
    const device = await openDevice();
    const say = speaker(about);
    console.log(
      JSON.stringify(await measureWay(device, { ...opened, ...settings, say }, way, seed)),
    );
    Deno.exit(0);
  } catch (error) {
    console.error(`${about}: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
