import type { Key } from "../../src/random.ts";
import { DataError } from "../dataset.ts";
import { sampleName } from "../place.ts";
import { CrashError, WorkerPool } from "../pool.ts";
import { type ClipSource, lineOf } from "./find.ts"; // no decoder: that stays in the workers
import { DecoderError } from "./video.ts";
import type {
  ClipAnswer,
  ClipJob,
  LookSetup,
  Refusal,
  TestSetup,
  TrainingSetup,
} from "./worker.ts";

/** What all that reads videos is told. */
export interface ClipOptions {
  readonly source: ClipSource;
  /** Videos a batch, N; may exceed the source's length. */
  readonly batch: number;
  readonly workers: number;
  /** Batches made ahead of the one asked for; 2 unless given. */
  readonly prefetch?: number;
  /** Bad files to bear; any number unless given, as long as one is good. */
  readonly maxBad?: number;
  /** Module of the workers, for one that does more than the project's own. */
  readonly worker?: URL;
}

/** What batches of clips tell. */
export interface ClipFigures {
  /** Bad files met so far, with the reason; grows as loading goes on. */
  readonly skipped: ReadonlyMap<string, string>;
  /** What went wrong without harm: workers that crashed, a cache on a full disk; grows too. */
  readonly warnings: ReadonlySet<string>;
}

const PATIENCE = 600_000; // milliseconds, since a long video may be decoded whole

/** Workers that read a source's videos, and what was found out about these. */
export class ClipWorkers implements Disposable {
  readonly skipped = new Map<string, string>();
  readonly warnings = new Set<string>();
  readonly #source: ClipSource;
  readonly #maxBad: number;
  readonly #pool: WorkerPool<ClipJob, ClipAnswer | Refusal>;
  readonly #bad = new Map<number, string>();

  constructor(
    { source, workers, maxBad = Infinity, worker: module }: Omit<ClipOptions, "batch">,
    setup: TrainingSetup | TestSetup | LookSetup,
  ) {
    this.#source = source;
    this.#maxBad = maxBad;
    this.#pool = new WorkerPool({
      module: module ?? new URL("./worker.ts", import.meta.url),
      ...{ setup, workers, patience: PATIENCE },
      onCrash: (reason) => this.warnings.add(`A worker crashed and was replaced: ${reason}`),
    });
  }

  /** Ends the workers. */
  [Symbol.dispose](): void {
    this.#pool[Symbol.dispose]();
  }

  /**
   * Reads one video.
   *
   * One that cannot be opened or that crashes three workers is not looked at again. Damage farther
   * on concerns the clips alone that lie there: whether a clip is good depends on its key, not on what
   * was asked for before.
   *
   * @returns What the worker made of it, or undefined if the video is bad: then it is listed.
   * @throws {DataError} If more than `maxBad` videos are bad, or all.
   * @throws {DecoderError} If the decoder cannot be used.
   * @throws {Error} If workers cannot start.
   */
  async load(index: number, key?: Key): Promise<ClipAnswer | undefined> {
    if (this.#bad.has(index)) return this.#refuse(index, this.#bad.get(index)!);
    const path = this.#source.files[index];
    const answer = await this.#ask({ path, key });
    if ("fault" in answer) throw new DecoderError(answer.fault);
    if ("reason" in answer) {
      const reason = answer.reason + lineOf(this.#source, path);
      if (answer.always) this.#bad.set(index, reason);
      return this.#refuse(index, reason);
    }
    if (answer.warning) this.warnings.add(answer.warning);
    return answer;
  }

  /** Labels of videos, where the source has some. */
  labels(indices: Uint32Array): Int32Array<ArrayBuffer> | undefined {
    const { labels } = this.#source;
    return labels && Int32Array.from(indices, (index) => labels[index]);
  }

  /** Names of videos, below the source's folder. */
  names(indices: Uint32Array): string[] {
    return Array.from(indices, (index) => sampleName(this.#source, index));
  }

  async #ask(job: ClipJob): Promise<ClipAnswer | Refusal> {
    try {
      return await this.#pool.ask(job);
    } catch (error) {
      if (!(error instanceof CrashError)) throw error;
      const reason = `Cannot decode ${job.path}: it crashes the decoder (${error.message})`;
      return { reason, always: true };
    }
  }

  #refuse(index: number, reason: string): undefined {
    this.skipped.set(this.#source.files[index], reason);
    const { size } = this.skipped;
    const { length } = this.#source;
    if (size <= this.#maxBad && this.#bad.size < length) return;
    const allowed = size > this.#maxBad ? ` (maxBad allows ${this.#maxBad})` : "";
    const [first] = this.skipped.values();
    throw new DataError(
      `Cannot load clips: ${size} of ${length} are bad${allowed}, first: ${first}`,
    );
  }
}

/**
 * Checks numbers of options.
 *
 * @param positive What must be one of 1, 2, 3 …
 * @param natural What may be 0 as well.
 * @throws {RangeError} If one is not.
 */
export function checkCounts(
  positive: Readonly<Record<string, number>>,
  natural: Readonly<Record<string, number>> = {},
): void {
  for (const [least, values] of [[1, positive], [0, natural]] as const) {
    for (const [name, value] of Object.entries(values)) {
      if (Number.isSafeInteger(value) && value >= least) continue;
      const kind = least === 1 ? "positive integer" : "natural number";
      throw new RangeError(`Cannot load clips: ${name} is ${value}, not a ${kind}`);
    }
  }
}
