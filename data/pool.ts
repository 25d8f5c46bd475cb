/**
 * Workers that answer jobs, and survive: one that crashes, hangs or runs out of memory is replaced,
 * and what it had not answered is asked again.
 */

// Node's workers, since the web's do not say when one exits, and share the process's memory limit.
import { parentPort, Worker, workerData } from "node:worker_threads";

/** How a pool of workers is made. */
export interface PoolOptions {
  /** Module that calls {@linkcode serve}. */
  readonly module: URL;
  /** What every worker gets at its start. */
  readonly setup: unknown;
  readonly workers: number;
  /** Milliseconds after which a job counts as hung; a minute unless given. */
  readonly patience?: number;
  /** Hears of each crash. */
  readonly onCrash?: (reason: string) => void;
}

/** A job that crashed every worker that tried it. */
export class CrashError extends Error {
  override name = "CrashError";
}

const TRIES = 3;
const AHEAD = 32; // jobs that a worker holds, so that it works on while this thread is busy
const HEAP_MIB = 1024; // images lie outside of it
const BEAT = 250; // milliseconds; often, since a wait of 30 s was seen once that a timer ended

interface Task {
  readonly id: number;
  readonly job: unknown;
  crashes: number;
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

interface Entry {
  readonly worker: Worker;
  readonly tasks: Task[];
  ready: boolean;
  reason?: string;
  /** Milliseconds since its last message. */
  silent: number;
}

type Message =
  | { readonly ready: true }
  | { readonly id: number; readonly answer: unknown }
  | { readonly crash: string };

/** Workers that share one queue of jobs. */
export class WorkerPool<Job, Answer> implements Disposable {
  readonly #options: PoolOptions;
  readonly #entries = new Set<Entry>();
  readonly #queue: Task[] = [];
  readonly #heart: ReturnType<typeof setInterval>;
  #badStarts = 0;
  #nextId = 0;
  #failure?: Error;

  constructor(options: PoolOptions) {
    this.#options = options;
    for (let i = 0; i < options.workers; i++) this.#start();
    this.#heart = setInterval(() => this.#beat(), BEAT);
  }

  /**
   * Asks for a job to be done; jobs begin in the order in which they were asked for.
   *
   * @throws {CrashError} If it crashed three workers.
   * @throws {Error} If workers cannot start.
   */
  ask(job: Job): Promise<Answer> {
    if (this.#failure) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#queue.push({ id: this.#nextId++, job, crashes: 0, resolve, reject });
    this.#deal();
    return promise as Promise<Answer>;
  }

  /** Ends the workers; jobs that are not done never settle. */
  [Symbol.dispose](): void {
    clearInterval(this.#heart);
    for (const { worker } of this.#entries) {
      worker.removeAllListeners();
      worker.terminate();
    }
    this.#entries.clear();
  }

  #start(): void {
    const { module, setup } = this.#options;
    // Node's workers load files only, and data that may import from anywhere.
    const url = module.protocol === "file:"
      ? module
      : new URL(`data:text/javascript,import ${encodeURIComponent(JSON.stringify(module.href))}`);
    const resourceLimits = { maxOldGenerationSizeMb: HEAP_MIB };
    const worker = new Worker(url, { workerData: setup, resourceLimits });
    const entry: Entry = { worker, tasks: [], ready: false, silent: 0 };
    worker.on("message", (message: Message) => this.#hear(entry, message));
    worker.on("error", (error) => entry.reason ??= (error as Error).message);
    worker.on("exit", () => this.#replace(entry));
    this.#entries.add(entry);
  }

  #hear(entry: Entry, message: Message): void {
    entry.silent = 0;
    if ("ready" in message) {
      entry.ready = true;
      this.#badStarts = 0;
    } else if ("crash" in message) {
      entry.reason = message.crash;
      entry.worker.terminate();
      return;
    } else {
      const at = entry.tasks.findIndex(({ id }) => id === message.id);
      if (at >= 0) entry.tasks.splice(at, 1)[0].resolve(message.answer);
    }
    this.#deal();
  }

  /** Gives each job to the worker with the fewest. */
  #deal(): void {
    while (this.#queue.length > 0) {
      let idlest: Entry | undefined;
      for (const entry of this.#entries) {
        const { ready, tasks } = entry;
        // A job that has crashed a worker is tried alone, so that no other is blamed.
        if (!ready || tasks.length >= AHEAD || tasks[0]?.crashes) continue;
        if (this.#queue[0].crashes && tasks.length > 0) continue;
        if (!idlest || tasks.length < idlest.tasks.length) idlest = entry;
      }
      if (!idlest) return;
      const task = this.#queue.shift()!;
      idlest.tasks.push(task);
      idlest.worker.postMessage({ id: task.id, job: task.job });
    }
  }

  /**
   * Ends workers that have been silent for too long: one out of memory says nothing else. Counting
   * beats leaves out the time when a long computation here kept answers from being heard.
   */
  #beat(): void {
    const { patience = 60_000 } = this.#options;
    for (const entry of this.#entries) {
      const waits = !entry.ready || entry.tasks.length > 0;
      entry.silent = waits ? entry.silent + BEAT : 0;
      if (entry.silent <= patience) continue;
      entry.reason ??= `no answer for ${patience / 1000} s`;
      entry.worker.terminate();
    }
  }

  /** Takes a worker's place after it has ended. */
  #replace(entry: Entry): void {
    if (!this.#entries.delete(entry)) return;
    const { reason = "it ended", tasks, ready } = entry;
    const [culprit, ...others] = tasks;
    this.#queue.unshift(...others);
    if (culprit && ++culprit.crashes < TRIES) this.#queue.unshift(culprit);
    else culprit?.reject(new CrashError(reason));
    if (!ready && ++this.#badStarts === TRIES) {
      return this.#fail(
        new Error(`Cannot start workers: ${TRIES} crashed at once, last: ${reason}`),
      );
    }
    this.#options.onCrash?.(reason);
    this.#start();
    this.#deal();
  }

  #fail(error: Error): void {
    this.#failure = error;
    const open = [...this.#queue.splice(0), ...[...this.#entries].flatMap(({ tasks }) => tasks)];
    this[Symbol.dispose]();
    for (const { reject } of open) reject(error);
  }
}

/**
 * The worker's side: answers jobs one at a time, in their order, since a worker is one core's work.
 *
 * @param start Makes of the setup the function that does a job, and says which buffers go with its
 * answer. What it throws ends the worker.
 */
export function serve<Setup, Job, Answer>(
  start: (setup: Setup) => (job: Job) => Promise<{ answer: Answer; transfer?: ArrayBuffer[] }>,
): void {
  const port = parentPort!;
  const work = start(workerData);
  const crash = (reason: string) => port.postMessage({ crash: reason } satisfies Message);
  // Unless they are heard here, they are printed with a stack trace.
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    crash(event.error?.message ?? event.message);
  });
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    crash(String(event.reason?.message ?? event.reason));
  });
  let last: Promise<void> = Promise.resolve();
  const run = async ({ id, job }: { id: number; job: Job }) => {
    try {
      const { answer, transfer = [] } = await work(job);
      port.postMessage({ id, answer } satisfies Message, transfer);
    } catch (error) {
      crash((error as Error).message);
      await new Promise(() => {}); // until it is ended
    }
  };
  port.on("message", (task) => last = last.then(() => run(task)));
  port.postMessage({ ready: true } satisfies Message);
}
