import assert from "node:assert/strict";
import { CrashError, WorkerPool } from "../../data/pool.ts";

const module = new URL("./pool_worker.ts", import.meta.url);

Deno.test("WorkerPool answers every job, whatever workers crash meanwhile", async () => {
  for (const workers of [1, 2]) {
    const crashes: string[] = [];
    using pool = new WorkerPool<string, string>({
      ...{ module, workers, setup: { dies: false } },
      onCrash: (reason) => crashes.push(reason),
    });
    const jobs = ["a", "exit", "b", "c", "throw", "d", "e"];
    const answers = await Promise.allSettled(jobs.map((job) => pool.ask(job)));
    const outcome = answers.map((answer) =>
      answer.status === "fulfilled" ? answer.value : (answer.reason as Error).message
    );
    assert.deepEqual(outcome, ["A", "it ended", "B", "C", "threw at throw", "D", "E"]);
    assert.ok((answers[1] as PromiseRejectedResult).reason instanceof CrashError);
    assert.equal(crashes.length, 6); // three times each
    assert.equal(await pool.ask("later"), "LATER");
  }
});

Deno.test("WorkerPool gives up a job that hangs workers", async () => {
  using pool = new WorkerPool<string, string>({
    ...{ module, workers: 1, setup: { dies: false }, patience: 1000 },
  });
  const hung = assert.rejects(pool.ask("hang"), /^CrashError: no answer for 1 s$/);
  assert.equal(await pool.ask("a"), "A");
  await hung;
});

Deno.test("WorkerPool ends with one error when workers crash at their start", async () => {
  for (const workers of [1, 2]) {
    using pool = new WorkerPool<string, string>({ module, workers, setup: { dies: true } });
    const asked = [pool.ask("a"), pool.ask("b")];
    for (const answer of asked) {
      await assert.rejects(
        answer,
        /^Error: Cannot start workers: 3 crashed at once, last: it ended$/,
      );
    }
    await assert.rejects(pool.ask("c"), /Cannot start workers/);
  }
});
