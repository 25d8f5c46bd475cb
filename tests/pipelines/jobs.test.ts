import assert from "node:assert/strict";
import { atOnce } from "../../pipelines/jobs.ts";

/** Tasks named by letters, which end when told to. */
function tasksOf(names: string) {
  const ends = new Map([...names].map((name) => [name, Promise.withResolvers<string>()]));
  const begun: string[] = [];
  const work = (name: string) => {
    begun.push(name);
    return ends.get(name)!.promise;
  };
  const end = (name: string) => ends.get(name)!.resolve(name.toUpperCase());
  return { begun, work, end, fail: (name: string) => ends.get(name)!.reject(new Error(name)) };
}

Deno.test("atOnce() gives results as they come, with as many at work as allowed", async () => {
  const { begun, work, end } = tasksOf("abcd");
  const results = atOnce("abcd", 2, work);
  const next = async (ended: string) => {
    const result = results.next();
    end(ended);
    return (await result).value;
  };
  assert.equal(await next("b"), "B");
  assert.deepEqual(begun, ["a", "b"]);
  assert.equal(await next("c"), "C");
  assert.deepEqual(begun, ["a", "b", "c"]);
  assert.equal(await next("a"), "A");
  assert.equal(await next("d"), "D");
  assert.deepEqual(begun, ["a", "b", "c", "d"]);
  assert.equal((await results.next()).done, true);
});

Deno.test("atOnce() begins nothing after a failure, and still gives what was begun", async () => {
  const { begun, work, end, fail } = tasksOf("abc");
  const results = atOnce("abc", 2, work);
  const first = results.next();
  fail("a");
  setTimeout(() => end("b"), 20);
  assert.equal((await first).value, "B");
  await assert.rejects(results.next(), /^Error: a$/);
  assert.deepEqual(begun, ["a", "b"]);
});

Deno.test("atOnce() ends what is at work when nobody takes results any more", async () => {
  const ended: string[] = [];
  const work = (name: string, signal: AbortSignal) => {
    if (name === "a") return Promise.resolve("A");
    const { promise, reject } = Promise.withResolvers<string>();
    signal.addEventListener("abort", () => {
      ended.push(name);
      reject(new Error(name));
    });
    return promise;
  };
  const take = async () => {
    for await (const result of atOnce("abc", 2, work)) throw new Error(`cannot keep ${result}`);
  };
  await assert.rejects(take, /cannot keep A/);
  assert.deepEqual(ended, ["b"]);
});
