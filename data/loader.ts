import { fold, key, permutation } from "../src/random.ts";
import { DataError } from "./dataset.ts";
import type { Stamp } from "./files.ts";
import { placeOf } from "./place.ts";
import { CrashError, WorkerPool } from "./pool.ts";
import type { ImageSource } from "./source.ts"; // types only: the decoder stays in the workers
import type { Answer, Crop, Job, Setup } from "./worker.ts";

export type { Crop, ImageSource };

/** What to load; the batches depend on all but `workers`, `prefetch` and the cache's folder. */
export interface LoadOptions extends Setup {
  readonly source: ImageSource;
  readonly seed: number;
  /** Samples a batch, N; may exceed the source's length. */
  readonly batch: number;
  /** Samples before the first one, over all epochs: `position` of the last batch of a run. */
  readonly start: number;
  readonly workers: number;
  /** Batches made ahead of the one asked for; 2 unless given. */
  readonly prefetch?: number;
  /** Bad files to bear; any number unless given, as long as one is good. */
  readonly maxBad?: number;
  /** Module of the workers, for one that does more than the project's own. */
  readonly worker?: URL;
}

/** Training views of N images. */
export interface ImageBatch {
  /** Normalised pixels `[N, H, W, C]`. */
  readonly images: Float32Array<ArrayBuffer>;
  /** Samples up to the end of this batch, over all epochs. */
  readonly position: number;
  /** Epoch of the batch's first sample. */
  readonly epoch: number;
  /** Which image of the source each view shows `[N]`. */
  readonly indices: Uint32Array<ArrayBuffer>;
  /** Bad files met so far, with the reason; grows as loading goes on. */
  readonly skipped: ReadonlyMap<string, string>;
  /** What went wrong without harm: workers that crashed, a cache on a full disk; grows too. */
  readonly warnings: ReadonlySet<string>;
}

/**
 * Loads shuffled, augmented batches without end, in workers.
 *
 * Epoch e goes through `permutation(fold(key(seed), e))`, and a sample's draws come from
 * `fold(key(seed), e, index)`, so a batch depends on its position alone: not on the number of
 * workers or their order, their crashes, or where a run was resumed. A bad file's place is taken by
 * the next good one in the order of the epoch, with the draws of that place; a file that crashes
 * three workers is bad.
 *
 * Leaving a `for await` over it, or its `return()`, ends the workers.
 *
 * @throws {RangeError} If an option is out of its range.
 * @throws {DataError} If more than `maxBad` or all of the files are bad.
 * @throws {Error} If workers cannot start.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { findRecipe, loadBatches, openImages } from "@mcmae/mcmae";
 *
 * const normal = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], workers: 1, maxBad: 0 };
 * const crop = { scale: [0.2, 1], flip: true } as const;
 * const { train } = await openImages(findRecipe("quickstart").data);
 * const options = { source: train, seed: 0, batch: 2, start: 0, channels: 3, ...normal } as const;
 * for await (const { images } of loadBatches({ ...options, crop: { ...crop, height: 32, width: 32 } })) {
 *   assert.equal(images.length, 2 * 32 * 32 * 3);
 *   break; // ends the workers
 * }
 * ```
 */
export async function* loadBatches(options: LoadOptions): AsyncGenerator<ImageBatch, void, void> {
  checkOptions(options);
  const { source, seed, batch, start, crop, channels, prefetch = 2, maxBad = Infinity } = options;
  const { mean, std, cache, workers, worker: module = new URL("./worker.ts", import.meta.url) } =
    options;
  const { length } = source;
  const root = key(seed);
  const bad = new Map<number, string>();
  const skipped = new Map<string, string>();
  const warnings = new Set<string>();
  const stamps: Stamp[] = []; // of files that were read, so that none is asked for twice
  const setup: Setup = { crop, mean, std, channels, cache };
  using pool = new WorkerPool<Job, Answer>({
    ...{ module, setup, workers },
    onCrash: (reason) => warnings.add(`A worker crashed and was replaced: ${reason}`),
  });

  let order = new Uint32Array();
  let orderEpoch = -1;
  const orderOf = (epoch: number) => {
    if (epoch !== orderEpoch) order = permutation(fold(root, epoch), length);
    orderEpoch = epoch;
    return order;
  };

  const loadView = async (index: number, key: Job["key"]): Promise<Answer> => {
    const place = placeOf(source, index);
    try {
      const answer = await pool.ask({ place: { stamp: stamps[index], ...place }, key });
      if ("view" in answer) {
        if (answer.warning) warnings.add(answer.warning);
        if (answer.stamp) stamps[index] = answer.stamp;
      }
      return answer;
    } catch (error) {
      if (!(error instanceof CrashError)) throw error;
      return { reason: `Cannot decode ${place.name}: it crashes the decoder (${error.message})` };
    }
  };

  const loadSample = async (position: number) => {
    const epoch = Math.floor(position / length);
    const place = position % length;
    const order = orderOf(epoch);
    const sampleKey = fold(root, epoch, order[place]);
    for (let next = place; next < place + length; next++) {
      const index = order[next % length];
      if (bad.has(index)) continue;
      const answer = await loadView(index, sampleKey);
      if ("view" in answer) return { index, view: answer.view };
      bad.set(index, answer.reason);
      skipped.set(placeOf(source, index).name, answer.reason);
      if (bad.size > maxBad) break;
    }
    throw tooManyBad(bad, length, maxBad);
  };

  const size = crop.height * crop.width * channels;
  const loadBatch = async (position: number): Promise<ImageBatch> => {
    const images = new Float32Array(batch * size);
    const indices = new Uint32Array(batch);
    await Promise.all(Array.from(indices, async (_, sample) => {
      const { index, view } = await loadSample(position + sample);
      images.set(view, sample * size);
      indices[sample] = index;
    }));
    const epoch = Math.floor(position / length);
    return { images, position: position + batch, epoch, indices, skipped, warnings };
  };

  const ahead: Promise<ImageBatch>[] = [];
  for (let position = start;; position += batch) {
    const loading = loadBatch(position);
    loading.catch(() => {}); // reported when its turn comes
    ahead.push(loading);
    if (ahead.length > prefetch) yield await ahead.shift()!;
  }
}

function tooManyBad(bad: ReadonlyMap<number, string>, length: number, limit: number): DataError {
  const first = bad.get(Math.min(...bad.keys()));
  const allowed = bad.size > limit ? ` (maxBad allows ${limit})` : "";
  return new DataError(
    `Cannot load images: ${bad.size} of ${length} are bad${allowed}, first: ${first}`,
  );
}

function checkOptions(options: LoadOptions): void {
  const { source, batch, start, crop, mean, std, channels, workers, prefetch = 2 } = options;
  const integers = {
    length: source.length,
    batch,
    workers,
    width: crop.width,
    height: crop.height,
  };
  for (const [name, value] of Object.entries(integers)) {
    if (!(Number.isInteger(value) && value >= 1)) {
      throw new RangeError(`Cannot load images: ${name} is ${value}, not a positive integer`);
    }
  }
  for (const [name, value] of Object.entries({ start, prefetch })) {
    if (!(Number.isSafeInteger(value) && value >= 0)) {
      throw new RangeError(`Cannot load images: ${name} is ${value}, not a natural number`);
    }
  }
  for (
    const [name, [min, max]] of Object.entries({ scale: crop.scale, ratio: crop.ratio ?? [1, 1] })
  ) {
    if (!(min > 0 && min <= max)) {
      throw new RangeError(`Cannot load images: ${name} is [${min}, ${max}], not a positive range`);
    }
  }
  if (mean.length !== channels || std.length !== channels) {
    throw new RangeError(
      `Cannot load ${channels} channels: mean has ${mean.length}, std has ${std.length}`,
    );
  }
}
