import type { Key } from "../../src/random.ts";
import { DataError } from "../dataset.ts";
import { CrashError, WorkerPool } from "../pool.ts";
import { checkLabelRule } from "./label_rule.ts";
import type { Scale } from "./resize.ts";
import type { MaskSource } from "./source.ts"; // types only: the decoders stay in the workers
import type {
  MaskAnswer,
  MaskEvaluationSetup,
  MaskJob,
  MaskReading,
  MaskTrainingSetup,
  MaskView,
} from "./worker.ts";

/** What both loaders are told. */
export interface MaskOptions extends MaskReading {
  readonly source: MaskSource;
  readonly workers: number;
  /** Batches, or in evaluation pictures, made ahead of the one asked for; 2 unless given. */
  readonly prefetch?: number;
  /** Bad pairs to bear; any number unless given, as long as one is good. */
  readonly maxBad?: number;
  /** Module of the workers, for one that does more than the project's own. */
  readonly worker?: URL;
}

/** What loaders tell of all pairs so far. */
export interface MaskFigures {
  /** Images of bad pairs met so far, with the reason; grows as loading goes on. */
  readonly skipped: ReadonlyMap<string, string>;
  /** What went wrong without harm: workers that crashed; grows too. */
  readonly warnings: ReadonlySet<string>;
}

/** Workers that make views of a source's pairs, and what was found out about these. */
export class MaskWorkers implements Disposable {
  readonly skipped = new Map<string, string>();
  readonly warnings = new Set<string>();
  readonly #source: MaskSource;
  readonly #maxBad: number;
  readonly #pool: WorkerPool<MaskJob, MaskAnswer>;
  readonly #bad = new Map<number, string>();

  constructor(
    { source, workers, maxBad = Infinity, worker: module }: MaskOptions,
    setup: MaskTrainingSetup | MaskEvaluationSetup,
  ) {
    this.#source = source;
    this.#maxBad = maxBad;
    this.#pool = new WorkerPool({
      module: module ?? new URL("./worker.ts", import.meta.url),
      ...{ setup, workers },
      onCrash: (reason) => this.warnings.add(`A worker crashed and was replaced: ${reason}`),
    });
  }

  /** Ends the workers. */
  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]();
  }

  /**
   * Makes a view of one pair.
   *
   * @returns The view, or undefined if the pair is bad: then it is listed, and not looked at again.
   * One that crashes three workers is bad.
   * @throws {DataError} If more than `maxBad` or all of the pairs are bad.
   * @throws {Error} If workers cannot start.
   */
  async load(index: number, key?: Key): Promise<MaskView | undefined> {
    const { images, masks, length } = this.#source;
    if (this.#bad.size === length) throw this.#tooManyBad();
    if (this.#bad.has(index)) return undefined;
    const [image, mask] = [images[index], masks[index]];
    const answer = await this.#ask({ image, mask, key });
    if (!("reason" in answer)) return answer;
    this.#bad.set(index, answer.reason);
    this.skipped.set(image, answer.reason);
    if (this.#bad.size > Math.min(this.#maxBad, length - 1)) throw this.#tooManyBad();
    return undefined;
  }

  async #ask(job: MaskJob): Promise<MaskAnswer> {
    try {
      return await this.#pool.ask(job);
    } catch (error) {
      if (!(error instanceof CrashError)) throw error;
      return {
        reason: `Cannot decode ${job.image} or its mask: it crashes the decoder (${error.message})`,
      };
    }
  }

  #tooManyBad(): DataError {
    const { size } = this.#bad;
    const first = this.#bad.get(this.#bad.keys().reduce((a, b) => Math.min(a, b)));
    const allowed = size > this.#maxBad ? ` (maxBad allows ${this.#maxBad})` : "";
    return new DataError(
      `Cannot load masks: ${size} of ${this.#source.length} pairs are bad${allowed}, first: ${first}`,
    );
  }
}

/**
 * Checks what both loaders are told.
 *
 * @param positive Further numbers that must be one of 1, 2, 3 …
 * @param natural Further numbers that may be 0 as well.
 * @throws {RangeError} If an option is out of its range.
 */
export function checkMaskOptions(
  options: MaskOptions & { readonly scale: Scale | null },
  positive: Readonly<Record<string, number>> = {},
  natural: Readonly<Record<string, number>> = {},
): void {
  const { source: { length }, workers, prefetch = 2, channels, mean, std, rule, scale } = options;
  const counts = { length, workers, channels, ...scale, ...positive };
  for (const [least, values] of [[1, counts], [0, { prefetch, ...natural }]] as const) {
    for (const [name, value] of Object.entries(values)) {
      if (Number.isSafeInteger(value) && value >= least) continue;
      const kind = least === 1 ? "positive integer" : "natural number";
      throw new RangeError(`Cannot load masks: ${name} is ${value}, not a ${kind}`);
    }
  }
  if (mean.length !== channels || std.length !== channels) {
    throw new RangeError(
      `Cannot load ${channels} channels: mean has ${mean.length}, std has ${std.length}`,
    );
  }
  checkLabelRule(rule);
}
