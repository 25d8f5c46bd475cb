import type { Key } from "../src/random.ts";
import { DataError } from "./dataset.ts";
import { CrashError, WorkerPool } from "./pool.ts";

/** What loaders tell of all samples so far. */
export interface Figures {
  /** Images of bad samples met so far, with the reason; grows as loading goes on. */
  readonly skipped: ReadonlyMap<string, string>;
  /** What went wrong without harm: workers that crashed; grows too. */
  readonly warnings: ReadonlySet<string>;
}

/** How workers are made, and what they are asked. */
export interface SourceWorkersOptions<Job> {
  /** For messages: what is loaded, and of what: "masks", "pairs". */
  readonly what: string;
  readonly samples: string;
  /** Image of each sample. */
  readonly images: readonly string[];
  readonly jobOf: (index: number, key?: Key) => Job;
  /** Module of the workers, and what each gets at its start. */
  readonly module: URL;
  readonly setup: unknown;
  readonly workers: number;
  /** Bad samples to bear; any number unless given, as long as one is good. */
  readonly maxBad?: number;
}

/** Workers that make views of a source's samples, and what was found out about these. */
export class SourceWorkers<Job, View extends object> implements Disposable, Figures {
  readonly skipped = new Map<string, string>();
  readonly warnings = new Set<string>();
  readonly #options: SourceWorkersOptions<Job>;
  readonly #pool: WorkerPool<Job, View | { readonly reason: string }>;
  readonly #bad = new Map<number, string>();

  constructor(options: SourceWorkersOptions<Job>) {
    const { module, setup, workers } = options;
    this.#options = options;
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
   * Makes a view of one sample.
   *
   * @returns The view, or undefined if the sample is bad: then it is listed, and not looked at again.
   * One that crashes three workers is bad.
   * @throws {DataError} If more than `maxBad` or all of the samples are bad.
   * @throws {Error} If workers cannot start.
   */
  async load(index: number, key?: Key): Promise<View | undefined> {
    const { images, jobOf, maxBad = Infinity } = this.#options;
    if (this.#bad.size === images.length) throw this.#tooManyBad();
    if (this.#bad.has(index)) return undefined;
    const answer = await this.#ask(jobOf(index, key), images[index]);
    if (!("reason" in answer)) return answer;
    this.#bad.set(index, answer.reason);
    this.skipped.set(images[index], answer.reason);
    if (this.#bad.size > Math.min(maxBad, images.length - 1)) throw this.#tooManyBad();
    return undefined;
  }

  async #ask(job: Job, image: string): Promise<View | { readonly reason: string }> {
    try {
      return await this.#pool.ask(job);
    } catch (error) {
      if (!(error instanceof CrashError)) throw error;
      const { message } = error;
      return { reason: `Cannot decode ${image} or its mask: it crashes the decoder (${message})` };
    }
  }

  #tooManyBad(): DataError {
    const { what, samples, images: { length }, maxBad = Infinity } = this.#options;
    const { size } = this.#bad;
    const first = this.#bad.get(this.#bad.keys().reduce((a, b) => Math.min(a, b)));
    const allowed = size > maxBad ? ` (maxBad allows ${maxBad})` : "";
    return new DataError(
      `Cannot load ${what}: ${size} of ${length} ${samples} are bad${allowed}, first: ${first}`,
    );
  }
}
