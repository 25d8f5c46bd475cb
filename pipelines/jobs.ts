/**
 * Several tasks at a time.
 *
 * @module
 */

/**
 * Works on tasks in order, at most `jobs` at once.
 *
 * @returns Results as they come.
 * @throws {Error} The first failure, after the results of what was begun before it.
 */
export async function* atOnce<Task, Result>(
  tasks: Iterable<Task>,
  jobs: number,
  work: (task: Task) => Promise<Result>,
): AsyncGenerator<Result> {
  const left = [...tasks];
  const running = new Map<Task, Promise<{ task: Task; result?: Result }>>();
  const failures: unknown[] = [];
  const start = (task: Task) =>
    work(task).then((result) => ({ task, result }), (error) => {
      failures.push(error);
      left.length = 0;
      return { task };
    });
  while (left.length > 0 || running.size > 0) {
    for (const task of left.splice(0, jobs - running.size)) running.set(task, start(task));
    const ended = await Promise.race(running.values());
    running.delete(ended.task);
    if ("result" in ended) yield ended.result as Result;
  }
  if (failures.length > 0) throw failures[0];
}
