import { DataError } from "../dataset.ts";
import { checkCounts, ClipWorkers } from "./clip_workers.ts";
import { type ClipSource, lineOf } from "./find.ts";
import { leastFrames, type Sampling } from "./sampling.ts";
import { checkDecoder, type DecoderName } from "./video.ts";

/** A video of an audit. */
export interface NamedClip {
  readonly file: string;
  /** Where a list names it. */
  readonly line?: number;
}

/** Three values of a sorted list. */
export interface ClipRange {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** What {@linkcode verifyClips} found; ranges are of readable videos, left out where there is none. */
export interface ClipAudit {
  readonly clips: number;
  readonly missing: readonly NamedClip[];
  readonly unreadable: readonly (NamedClip & { readonly reason: string })[];
  /** Videos of fewer frames than the clips need: their last ones will be repeated. */
  readonly short: readonly (NamedClip & { readonly frames: number })[];
  readonly frames?: ClipRange;
  readonly width?: ClipRange;
  readonly height?: ClipRange;
  readonly fps?: ClipRange;
}

/**
 * Looks at every video of a source, in workers, for what may harm training.
 *
 * @param sampling Which clips will be taken, to tell which videos are too short; no matter if left out.
 * @param decode Whether to decode every frame, which finds damage in the middle; true unless given.
 * @param onProgress Hears how many videos are done.
 * @throws {DecoderError} If the decoder cannot be used.
 */
export async function verifyClips(
  source: ClipSource,
  { sampling, decoder = "node-av", decode = true, workers, onProgress }: {
    readonly sampling?: Sampling;
    readonly decoder?: DecoderName;
    readonly decode?: boolean;
    readonly workers: number;
    readonly onProgress?: (done: number) => void;
  },
): Promise<ClipAudit> {
  checkCounts({ workers });
  checkDecoder(decoder);
  const least = sampling ? leastFrames(sampling) : 1;
  using pool = new ClipWorkers({ source, workers }, { kind: "look", decoder, decode });
  const missing: ClipAudit["missing"][number][] = [];
  const unreadable: ClipAudit["unreadable"][number][] = [];
  const short: ClipAudit["short"][number][] = [];
  const figures: Record<"frames" | "width" | "height" | "fps", number[]> = {
    ...{ frames: [], width: [], height: [], fps: [] },
  };
  const look = async (index: number) => {
    const file = source.files[index];
    const named = {
      file,
      ...(source.list?.lines.has(file) && { line: source.list.lines.get(file) }),
    };
    if (
      !await Deno.stat(file).then(() => true, (error) => !(error instanceof Deno.errors.NotFound))
    ) {
      return () => missing.push(named);
    }
    const found = await pool.load(index).catch((error) => {
      if (!(error instanceof DataError)) throw error; // all are bad: still to be listed
      return undefined;
    });
    if (!found) {
      const reason = pool.skipped.get(file)!.replace(lineOf(source, file), "");
      return () => unreadable.push({ ...named, reason });
    }
    return () => {
      if (found.frames < least) short.push({ ...named, frames: found.frames });
      for (const name of ["frames", "width", "height", "fps"] as const) {
        if (found[name] !== undefined) figures[name].push(found[name]);
      }
    };
  };
  const asked: ReturnType<typeof look>[] = [];
  for (let next = 0, done = 0; next < source.length || asked.length > 0;) {
    while (asked.length < 4 * workers && next < source.length) {
      const looking = look(next++);
      looking.catch(() => {}); // reported when its turn comes
      asked.push(looking);
    }
    (await asked.shift()!)();
    onProgress?.(++done);
  }
  const ranges = Object.entries(figures).filter(([, values]) => values.length > 0)
    .map(([name, values]) => [name, rangeOf(values)]);
  return { clips: source.length, missing, unreadable, short, ...Object.fromEntries(ranges) };
}

function rangeOf(values: readonly number[]): ClipRange {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))];
  return { min: at(0), median: at(0.5), max: at(1) };
}
