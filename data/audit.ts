import type { Look } from "./audit_worker.ts";
import { type Place, placeOf } from "./place.ts";
import { CrashError, WorkerPool } from "./pool.ts";
import type { ImageSource } from "./source.ts";

/** Sources by name, such as `train` and `val`. */
export type Splits = Readonly<Record<string, ImageSource>>;

/** One sample of an audit. */
export interface Sample {
  readonly split: string;
  readonly file: string;
}

/** What an audit found. */
export interface Audit {
  readonly splits: Readonly<Record<string, SplitAudit>>;
  readonly unreadable: readonly (Sample & { readonly reason: string })[];
  /** Images whose shorter side is below the least one. */
  readonly tiny: readonly (Sample & { readonly width: number; readonly height: number })[];
  /** Groups of equal files. */
  readonly duplicates: readonly (readonly Sample[])[];
  /** Those groups that have members in several splits. */
  readonly leaks: readonly (readonly Sample[])[];
}

/** Figures of a split; all but `images` and `classes` are of readable images only. */
export interface SplitAudit {
  readonly images: number;
  /** Images of each class, where labels are known. */
  readonly classes?: Readonly<Record<string, number>>;
  /** Images of each number of channels. */
  readonly channels: Readonly<Record<string, number>>;
  readonly width: Range;
  readonly height: Range;
}

/** Zeros where there is none. */
export interface Range {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/**
 * Decodes every image of some splits, in workers, and counts what may harm training.
 *
 * @param minSide Least length of an image's shorter side, in pixels.
 * @param onProgress Hears how many images are done.
 */
export async function audit(
  splits: Splits,
  { minSide, workers, onProgress }: {
    readonly minSide: number;
    readonly workers: number;
    readonly onProgress?: (done: number) => void;
  },
): Promise<Audit> {
  const module = new URL("./audit_worker.ts", import.meta.url);
  using pool = new WorkerPool<Place, Look>({ module, workers, setup: null });
  const figures: Record<string, SplitAudit> = {};
  const unreadable: Audit["unreadable"][number][] = [];
  const tiny: Audit["tiny"][number][] = [];
  const byHash = new Map<string, Sample[]>();
  let done = 0;
  for (const [split, source] of Object.entries(splits)) {
    const channels: Record<string, number> = {};
    const [widths, heights]: [number[], number[]] = [[], []];
    for await (const [place, look] of looks(pool, source, 4 * workers)) {
      const sample = { split, file: place.name };
      onProgress?.(++done);
      if ("reason" in look) {
        unreadable.push({ ...sample, reason: look.reason });
        continue;
      }
      const { width, height, hash } = look;
      if (Math.min(width, height) < minSide) tiny.push({ ...sample, width, height });
      channels[look.channels] = (channels[look.channels] ?? 0) + 1;
      widths.push(width);
      heights.push(height);
      byHash.set(hash, [...byHash.get(hash) ?? [], sample]);
    }
    figures[split] = {
      ...{ images: source.length, channels, width: rangeOf(widths), height: rangeOf(heights) },
      ...(source.labels && { classes: countClasses(source) }),
    };
  }
  const duplicates = [...byHash.values()].filter(({ length }) => length > 1);
  const leaks = duplicates.filter((group) => group.some(({ split }) => split !== group[0].split));
  return { splits: figures, unreadable, tiny, duplicates, leaks };
}

/** Looks at all samples, in their order, some ahead. */
async function* looks(
  pool: WorkerPool<Place, Look>,
  source: ImageSource,
  ahead: number,
): AsyncGenerator<[Place, Look]> {
  const asked: Promise<[Place, Look]>[] = [];
  for (let next = 0; next < source.length || asked.length > 0;) {
    while (asked.length < ahead && next < source.length) {
      asked.push(lookAt(pool, placeOf(source, next++)));
    }
    yield await asked.shift()!;
  }
}

async function lookAt(pool: WorkerPool<Place, Look>, place: Place): Promise<[Place, Look]> {
  try {
    return [place, await pool.ask(place)];
  } catch (error) {
    if (!(error instanceof CrashError)) throw error;
    return [place, {
      reason: `Cannot decode ${place.name}: it crashes the decoder (${error.message})`,
    }];
  }
}

function countClasses({ labels, classes }: ImageSource): Record<string, number> {
  const counts = new Map((classes ?? []).map((name) => [name, 0]));
  for (const label of labels!) {
    const name = label < 0 ? "(none)" : classes?.[label] ?? String(label);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return Object.fromEntries(counts);
}

function rangeOf(values: readonly number[]): Range {
  const sorted = Uint32Array.from(values).sort();
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0;
  return { min: at(0), median: at(0.5), max: at(1) };
}
