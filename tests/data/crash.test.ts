import assert from "node:assert/strict";
import { fold, key, permutation } from "../../src/random.ts";
import type { ImageSource } from "../../data/source.ts";
import { contentOf, options, take } from "./batches.ts";
import { photoBytes, photoNames } from "./photos.ts";
import { temporaryFolder } from "./temporary_folder.ts";

const worker = new URL("./crashing_worker.ts", import.meta.url);
const NAMES = (await photoNames()).slice(0, 6);

async function sourceIn(path: string, names: readonly string[]): Promise<ImageSource> {
  for (const [i, name] of names.entries()) {
    await Deno.writeFile(`${path}/${name}`, await photoBytes(NAMES[i]));
  }
  return { kind: "files", files: names.map((name) => `${path}/${name}`), length: names.length };
}

Deno.test("loadBatches() gives the same batches when workers crash on the way", async () => {
  await using folder = await temporaryFolder();
  const names = ["a", "exit_once_b", "c", "throw_once_d", "e", "exit_once_f"];
  const source = await sourceIn(folder.path, names);
  const reference = await take(4, options(source));
  assert.equal(reference[3].warnings.size, 0);
  for (const workers of [1, 2]) {
    for (const name of names) await Deno.remove(`${folder.path}/${name}.seen`).catch(() => {});
    const batches = await take(4, options(source, { worker, workers }));
    assert.deepEqual(contentOf(batches), contentOf(reference));
    assert.deepEqual([...batches[3].skipped], []);
    assert.deepEqual([...batches[3].warnings].sort(), [
      "A worker crashed and was replaced: boom",
      "A worker crashed and was replaced: it ended",
    ]);
  }
});

Deno.test("loadBatches() takes a file that crashes three workers for a bad one", async () => {
  await using folder = await temporaryFolder();
  const source = await sourceIn(folder.path, ["a", "exit_b", "c", "d", "throw_e"]);
  const runs = [];
  for (const workers of [1, 2]) runs.push(await take(3, options(source, { worker, workers })));
  assert.deepEqual(contentOf(runs[1]), contentOf(runs[0]));
  const order = permutation(fold(key(5), 0), 5);
  const expected = Array.from(order, (_, place) => {
    while ([1, 4].includes(order[place % 5])) place++;
    return order[place % 5];
  });
  assert.deepEqual(runs[0].flatMap(({ indices }) => [...indices]).slice(0, 5), expected);
  const { skipped } = runs[0][2];
  assert.deepEqual(
    [...skipped.keys()].sort(),
    ["exit_b", "throw_e"].map((n) => `${folder.path}/${n}`),
  );
  const reason = skipped.get(`${folder.path}/throw_e`);
  assert.equal(reason, `Cannot decode ${folder.path}/throw_e: it crashes the decoder (boom)`);
  await assert.rejects(
    take(3, options(source, { worker, maxBad: 1 })),
    /^DataError: Cannot load images: 2 of 5 are bad \(maxBad allows 1\), first: .*crashes the decoder/,
  );
});
