/**
 * Several tasks at a time.
 *
 * @module
 */

/**
 * Works on tasks in order, at most `jobs` at once.
 *
 * @param work Gets a signal that ends it, for when nobody takes results any more; its end is awaited.
 * @returns Results as they come.
 * @throws {Error} The first failure, after the results of what was begun before it.
 */
export async function* atOnce<Task, Result>(
  tasks: Iterable<Task>,
  jobs: number,
  work: (task: Task, signal: AbortSignal) => Promise<Result>,
): AsyncGenerator<Result> {
  const left = [...tasks];
  const running = new Map<Task, Promise<{ task: Task; result?: Result }>>();
  const failures: unknown[] = [];
  const unwanted = new AbortController();
  const start = (task: Task) =>
    work(task, unwanted.signal).then((result) => ({ task, result }), (error) => {
      failures.push(error);
      left.length = 0;
      return { task };
    });
  try {
    while (left.length > 0 || running.size > 0) {
      for (const task of left.splice(0, jobs - running.size)) running.set(task, start(task));
      const ended = await Promise.race(running.values());
      running.delete(ended.task);
      if ("result" in ended) yield ended.result as Result;
    }
  } finally {
    unwanted.abort();
    await Promise.all(running.values());
  }
  if (failures.length > 0) throw failures[0];
}
