import { fold, key, permutation } from "../src/random.ts";
import { DataError } from "./dataset.ts";
import type { ImageSource } from "./source.ts"; // types only: the decoder stays in the workers
import type { Answer, Crop, Job, Setup } from "./worker.ts";

export type { Crop, ImageSource };

/** What to load; the batches depend on all but `workers` and `prefetch`. */
export interface LoadOptions extends Setup {
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
}

/**
 * Loads shuffled, augmented batches without end, in workers.
 *
 * Epoch e goes through `permutation(fold(key(seed), e))`, and a sample's draws come from
 * `fold(key(seed), e, index)`, so a batch depends on its position alone: not on the number of
 * workers or their order, nor on where a run was resumed. A bad file's place is taken by the next
 * good one in the order of the epoch, with the draws of that place.
 *
 * Leaving a `for await` over it, or its `return()`, ends the workers.
 *
 * @throws {RangeError} If an option is out of its range.
 * @throws {DataError} If the source is bad, or more than `maxBad` or all of its files are.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { findRecipe, loadBatches, trainingImages } from "@mcmae/mcmae";
 *
 * const normal = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], workers: 1, maxBad: 0 };
 * const crop = { scale: [0.2, 1], flip: true } as const;
 * const source = await trainingImages(findRecipe("quickstart").data);
 * const options = { source, seed: 0, batch: 2, start: 0, channels: 3, ...normal } as const;
 * for await (const { images } of loadBatches({ ...options, crop: { ...crop, height: 32, width: 32 } })) {
 *   assert.equal(images.length, 2 * 32 * 32 * 3);
 *   break; // ends the workers
 * }
 * ```
 */
export async function* loadBatches(options: LoadOptions): AsyncGenerator<ImageBatch, void, void> {
  checkOptions(options);
  const { source, seed, batch, start, crop, channels, prefetch = 2, maxBad = Infinity } = options;
  const { length } = source;
  const root = key(seed);
  const bad = new Map<number, string>();
  const skipped = new Map<string, string>();
  using pool = new WorkerPool(options);

  let order = new Uint32Array();
  let orderEpoch = -1;
  const orderOf = (epoch: number) => {
    if (epoch !== orderEpoch) order = permutation(fold(root, epoch), length);
    orderEpoch = epoch;
    return order;
  };

  const loadSample = async (position: number) => {
    const epoch = Math.floor(position / length);
    const place = position % length;
    const order = orderOf(epoch);
    const sampleKey = fold(root, epoch, order[place]);
    for (let next = place; next < place + length; next++) {
      const index = order[next % length];
      if (bad.has(index)) continue;
      const answer = await pool.ask(index, sampleKey);
      if ("view" in answer) return { index, view: answer.view };
      bad.set(index, answer.reason);
      skipped.set(sampleName(source, index), answer.reason);
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
    return { images, position: position + batch, epoch, indices, skipped };
  };

  const ahead: Promise<ImageBatch>[] = [];
  for (let position = start;; position += batch) {
    const loading = loadBatch(position);
    loading.catch(() => {}); // reported when its turn comes
    ahead.push(loading);
    if (ahead.length > prefetch) yield await ahead.shift()!;
  }
}

/** Workers that make views; each job goes to the one with the fewest to do. */
class WorkerPool implements Disposable {
  readonly #workers: { worker: Worker; jobs: number }[];
  readonly #asked = new Map<number, (answer: Answer | Error) => void>();
  #failure?: Error;
  #nextId = 0;

  constructor({ source, crop, mean, std, channels, workers }: LoadOptions) {
    const setup: Setup = { source, crop, mean, std, channels };
    this.#workers = Array.from({ length: workers }, () => {
      const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
      const entry = { worker, jobs: 0 };
      worker.onmessage = ({ data }: MessageEvent<Answer>) => {
        if (data.id === undefined) {
          return this.#fail(new DataError((data as { reason: string }).reason));
        }
        entry.jobs--;
        this.#asked.get(data.id)?.(data);
        this.#asked.delete(data.id);
      };
      worker.onerror = (event) => {
        event.preventDefault(); // it would end the process before anyone can react
        this.#fail(new Error(`Image worker failed: ${event.message}`));
      };
      worker.postMessage(setup);
      return entry;
    });
  }

  ask(index: number, key: Job["key"]): Promise<Answer> {
    if (this.#failure) return Promise.reject(this.#failure);
    const entry = this.#workers.reduce((least, other) => other.jobs < least.jobs ? other : least);
    const id = this.#nextId++;
    entry.jobs++;
    entry.worker.postMessage({ id, index, key } satisfies Job);
    return new Promise((resolve, reject) => {
      this.#asked.set(id, (answer) => answer instanceof Error ? reject(answer) : resolve(answer));
    });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const settle of this.#asked.values()) settle(this.#failure);
    this.#asked.clear();
  }

  [Symbol.dispose](): void {
    for (const { worker } of this.#workers) worker.terminate();
  }
}

/** Name of a sample for messages: its file, or its place in one. */
function sampleName(source: ImageSource, index: number): string {
  return source.kind === "folder" ? source.files[index] : `${source.path}[${index}]`;
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
