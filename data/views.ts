import type { Key } from "../src/random.ts";
import type { Size } from "./augment.ts";
import { DataError } from "./dataset.ts";
import type { Stamp } from "./files.ts";
import { placeOf } from "./place.ts";
import { CrashError, WorkerPool } from "./pool.ts";
import type { ImageSource } from "./source.ts"; // types only: the decoder stays in the workers
import type { Answer, EvaluationSetup, Job, Reading, Sample, Setup } from "./worker.ts";

/** What both loaders are told. */
export interface ViewOptions {
  readonly source: ImageSource;
  /** Samples a batch, N; may exceed the source's length. */
  readonly batch: number;
  readonly workers: number;
  /** Batches made ahead of the one asked for; 2 unless given. */
  readonly prefetch?: number;
  /** Bad files to bear; any number unless given, as long as one is good. */
  readonly maxBad?: number;
  /** Module of the workers, for one that does more than the project's own. */
  readonly worker?: URL;
}

/** Views of N images. */
export interface ViewBatch {
  /** Normalised pixels `[N, H, W, C]`. */
  readonly images: Float32Array<ArrayBuffer>;
  /** Which image of the source each view shows `[N]`. */
  readonly indices: Uint32Array<ArrayBuffer>;
  /** Labels of these images `[N]`, where the source has labels; -1 where one is unknown. */
  readonly labels?: Int32Array<ArrayBuffer>;
  /** Bad files met so far, with the reason; grows as loading goes on. */
  readonly skipped: ReadonlyMap<string, string>;
  /** What went wrong without harm: workers that crashed, a cache on a full disk; grows too. */
  readonly warnings: ReadonlySet<string>;
}

// Images of an IDX file lie in the workers' memory, and a message each would cost more than they do.
const IDX_CHUNK = 32;

interface Request {
  readonly sample: Sample;
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

/** Views that workers make of a source's images, and what was found out about these. */
export class Views implements Disposable {
  readonly skipped = new Map<string, string>();
  readonly warnings = new Set<string>();
  readonly #source: ImageSource;
  readonly #maxBad: number;
  readonly #pool: WorkerPool<Job, readonly Answer[]>;
  readonly #bad = new Map<number, string>();
  readonly #stamps: Stamp[] = []; // of files that were read, so that none is asked for twice
  readonly #chunk: number;
  #waiting: Request[] = [];

  constructor(options: ViewOptions, setup: Setup | EvaluationSetup) {
    const { source, workers, maxBad = Infinity } = options;
    const { worker: module = new URL("./worker.ts", import.meta.url) } = options;
    this.#source = source;
    this.#maxBad = maxBad;
    this.#chunk = source.kind === "idx" ? IDX_CHUNK : 1;
    this.#pool = new WorkerPool({
      ...{ module, setup, workers },
      onCrash: (reason) => this.warnings.add(`A worker crashed and was replaced: ${reason}`),
    });
  }

  /** Ends the workers. */
  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]();
  }

  /**
   * Makes a view of one image; those asked for at once share messages.
   *
   * @returns Normalised pixels `[H, W, C]`, or undefined if the image is bad: then it is listed, and
   * not looked at again. One that crashes three workers is bad.
   * @throws {DataError} If more than `maxBad` or all of the images are bad.
   * @throws {Error} If workers cannot start.
   */
  async load(index: number, key?: Key): Promise<Float32Array<ArrayBuffer> | undefined> {
    if (this.#bad.size === this.#source.length) throw this.#tooManyBad();
    if (this.#bad.has(index)) return undefined;
    const place = placeOf(this.#source, index);
    const answer = await this.#request({ place: { stamp: this.#stamps[index], ...place }, key });
    if ("view" in answer) {
      if (answer.warning) this.warnings.add(answer.warning);
      if (answer.stamp) this.#stamps[index] = answer.stamp;
      return answer.view;
    }
    this.#bad.set(index, answer.reason);
    this.skipped.set(place.name, answer.reason);
    if (this.#bad.size > Math.min(this.#maxBad, this.#source.length - 1)) throw this.#tooManyBad();
    return undefined;
  }

  /** Labels of images, where the source has some. */
  labels(indices: Uint32Array): Int32Array<ArrayBuffer> | undefined {
    const { labels } = this.#source;
    return labels && Int32Array.from(indices, (index) => labels[index]);
  }

  #request(sample: Sample): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#waiting.push({ sample, resolve, reject });
    if (this.#waiting.length === this.#chunk) this.#send();
    else if (this.#waiting.length === 1) queueMicrotask(() => this.#send());
    return promise;
  }

  async #send(): Promise<void> {
    const requests = this.#waiting;
    if (requests.length === 0) return;
    this.#waiting = [];
    try {
      const answers = await this.#answers(requests.map(({ sample }) => sample));
      requests.forEach(({ resolve }, i) => resolve(answers[i]));
    } catch (error) {
      requests.forEach(({ reject }) => reject(error as Error));
    }
  }

  async #answers(job: Job): Promise<readonly Answer[]> {
    try {
      return await this.#pool.ask(job);
    } catch (error) {
      if (!(error instanceof CrashError)) throw error;
      if (job.length > 1) { // one of them is to blame
        return (await Promise.all(job.map((sample) => this.#answers([sample])))).flat();
      }
      const [{ place: { name } }] = job;
      return [{ reason: `Cannot decode ${name}: it crashes the decoder (${error.message})` }];
    }
  }

  #tooManyBad(): DataError {
    const { size } = this.#bad;
    const first = this.#bad.get(this.#bad.keys().reduce((a, b) => Math.min(a, b)));
    const allowed = size > this.#maxBad ? ` (maxBad allows ${this.#maxBad})` : "";
    return new DataError(
      `Cannot load images: ${size} of ${this.#source.length} are bad${allowed}, first: ${first}`,
    );
  }
}

/**
 * Checks what both loaders are told.
 *
 * @param reading What every worker gets, and the size of its views.
 * @throws {RangeError} If an option is out of its range.
 */
export function checkViews(
  { source: { length }, batch, workers, prefetch = 2 }: ViewOptions,
  { width, height }: Size,
  { mean, std, channels }: Reading,
): void {
  for (const [name, value] of Object.entries({ length, batch, workers, width, height })) {
    if (!(Number.isInteger(value) && value >= 1)) {
      throw new RangeError(`Cannot load images: ${name} is ${value}, not a positive integer`);
    }
  }
  checkNatural({ prefetch });
  if (mean.length !== channels || std.length !== channels) {
    throw new RangeError(
      `Cannot load ${channels} channels: mean has ${mean.length}, std has ${std.length}`,
    );
  }
}

/** @throws {RangeError} If a value is none of 0, 1, 2 … */
export function checkNatural(values: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (!(Number.isSafeInteger(value) && value >= 0)) {
      throw new RangeError(`Cannot load images: ${name} is ${value}, not a natural number`);
    }
  }
}
