import type { Look, Moments, Question } from "./audit_worker.ts";
import { ignoredFiles } from "./dataset.ts";
import { type Place, placeOf, sampleName } from "./place.ts";
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
  /** Groups of equal files, all in one split. */
  readonly duplicates: readonly (readonly Sample[])[];
  /** Groups of equal files in several splits. */
  readonly leaks: readonly (readonly Sample[])[];
  /** Files in the folders that are not taken for images, by extension. */
  readonly ignored: Readonly<Record<string, number>>;
  /** Of the first split; only if the images of the sample have equally many channels. */
  readonly pixels?: PixelFigures;
}

/**
 * Mean and standard deviation of pixels, on a scale of 0 to 1, one number a channel. Every image
 * counts alike, whatever its size, as in training.
 */
export interface PixelFigures {
  /** Number of images, spread evenly over the split. */
  readonly images: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Figures of a split; all but `images` and `classes` are of readable images only. */
export interface SplitAudit {
  readonly images: number;
  /** Images of each class, where labels are known. */
  readonly classes?: Readonly<Record<string, number>>;
  /** Images of each number of channels. */
  readonly channels: Readonly<Record<string, number>>;
  /** Of these, TIFFs whose pages are the channels, by the number of pages. */
  readonly pages: Readonly<Record<string, number>>;
  /** Left out where no image is readable. */
  readonly width?: Range;
  readonly height?: Range;
  /** An image in no subfolder, where others lie in some: why there are no classes. */
  readonly stray?: string;
}

/** Three values of a sorted list. */
export interface Range {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** Images to measure the pixels of, at most. */
const MEASURED = 1000;

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
  using pool = new WorkerPool<Question, Look>({ module, workers, setup: null });
  const figures: Record<string, SplitAudit> = {};
  const unreadable: Audit["unreadable"][number][] = [];
  const tiny: Audit["tiny"][number][] = [];
  const byHash = new Map<string, Sample[]>();
  const moments: Moments[] = [];
  const ignored: Record<string, number> = {};
  const [first] = Object.keys(splits);
  let done = 0;
  for (const [split, source] of Object.entries(splits)) {
    const channels: Record<string, number> = {};
    const pages: Record<string, number> = {};
    const [widths, heights]: [number[], number[]] = [[], []];
    for await (const [place, look] of looks(pool, source, split === first, 4 * workers)) {
      const sample = { split, file: place.name };
      onProgress?.(++done);
      if ("reason" in look) {
        unreadable.push({ ...sample, reason: look.reason });
        continue;
      }
      const { width, height, hash } = look;
      if (Math.min(width, height) < minSide) tiny.push({ ...sample, width, height });
      add(channels, look.channels, 1);
      if (look.pages) add(pages, look.pages, 1);
      if (look.moments) moments.push(look.moments);
      widths.push(width);
      heights.push(height);
      byHash.set(hash, [...byHash.get(hash) ?? [], sample]);
    }
    if (source.kind === "files" && source.root !== undefined && !source.listed) {
      const files = await ignoredFiles(source.root);
      for (const [extension, count] of Object.entries(files)) add(ignored, extension, count);
    }
    figures[split] = {
      ...{ images: source.length, channels, pages },
      ...{ width: rangeOf(widths), height: rangeOf(heights) },
      ...(source.labels ? { classes: countClasses(source) } : { stray: strayOf(source) }),
    };
  }
  const equal = [...byHash.values()].filter(({ length }) => length > 1);
  const leak = (group: Sample[]) => group.some(({ split }) => split !== group[0].split);
  const [leaks, duplicates] = [equal.filter(leak), equal.filter((group) => !leak(group))];
  const pixels = pixelFigures(moments);
  return { splits: figures, unreadable, tiny, duplicates, leaks, ignored, pixels };
}

function add(counts: Record<string, number>, key: string | number, count: number): void {
  counts[key] = (counts[key] ?? 0) + count;
}

/** Looks at all samples, in their order, some ahead. */
async function* looks(
  pool: WorkerPool<Question, Look>,
  source: ImageSource,
  measure: boolean,
  ahead: number,
): AsyncGenerator<[Place, Look]> {
  const { length } = source;
  const before = (index: number) => Math.floor(index * Math.min(MEASURED, length) / length);
  const isMeasured = (index: number) => before(index + 1) > before(index);
  const asked: Promise<[Place, Look]>[] = [];
  for (let next = 0; next < length || asked.length > 0;) {
    while (asked.length < ahead && next < length) {
      asked.push(
        lookAt(pool, { place: placeOf(source, next), measure: measure && isMeasured(next) }),
      );
      next++;
    }
    yield await asked.shift()!;
  }
}

async function lookAt(
  pool: WorkerPool<Question, Look>,
  question: Question,
): Promise<[Place, Look]> {
  const { place } = question;
  try {
    return [place, await pool.ask(question)];
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

/** The first image that lies in no subfolder of a folder's, where others do. */
function strayOf(source: ImageSource): string | undefined {
  if (source.kind !== "files" || source.listed) return undefined;
  const names = source.files.map((_, i) => sampleName(source, i));
  return names.some((name) => name.includes("/"))
    ? names.find((name) => !name.includes("/"))
    : undefined;
}

function pixelFigures(moments: readonly Moments[]): PixelFigures | undefined {
  const images = moments.length;
  const channels = moments[0]?.mean.length;
  if (images === 0 || moments.some(({ mean }) => mean.length !== channels)) return undefined;
  const average = (key: keyof Moments) =>
    Array.from(
      { length: channels },
      (_, c) => moments.reduce((sum, moment) => sum + moment[key][c], 0) / images,
    );
  const mean = average("mean");
  const square = average("square");
  return { images, mean, std: square.map((s, c) => Math.sqrt(Math.max(0, s - mean[c] ** 2))) };
}

function rangeOf(values: readonly number[]): Range | undefined {
  if (values.length === 0) return undefined;
  const sorted = Uint32Array.from(values).sort();
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))];
  return { min: at(0), median: at(0.5), max: at(1) };
}
