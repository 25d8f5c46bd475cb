import assert from "node:assert/strict";
import { videoOpener } from "../../../data/clips/cache.ts";
import { readClip } from "../../../data/clips/video.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { range, writeNumbered } from "./numbered.ts";

async function filesBelow(path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(path)) {
    for await (const file of Deno.readDir(`${path}/${name}`)) {
      names.push(`${path}/${name}/${file.name}`);
    }
  }
  return names;
}

Deno.test("videoOpener() keeps shrunk videos and reads frames from them", async () => {
  await using folder = await temporaryFolder();
  const [path, cache] = [`${folder.path}/a.mp4`, `${folder.path}/cache`];
  await writeNumbered(path, 30);
  const plain = (await videoOpener({})(path)).video;
  for (const [shortSide, width] of [[32, 48], [100, 96]]) {
    const open = videoOpener({ cache, shortSide });
    const side = Math.min(shortSide, 64);
    const expected = await readClip(plain, [29, 3, 3], side);
    for (let time = 0; time < 2; time++) {
      const { video } = await open(path);
      assert.deepEqual([video.frames, video.width, video.height], [30, width, side]);
      assert.deepEqual(await readClip(video, [29, 3, 3], side), expected);
    }
  }
  const kept = await filesBelow(cache);
  assert.equal(kept.length, 2);
  assert.ok(kept.every((name) => name.endsWith(".npy")));
});

Deno.test("videoOpener() decodes again what has changed or is damaged", async () => {
  await using folder = await temporaryFolder();
  const [path, cache] = [`${folder.path}/a.mp4`, `${folder.path}/cache`];
  await writeNumbered(path, 30);
  const open = videoOpener({ cache });
  const expected = await readClip((await open(path)).video, range(30));
  const [kept] = await filesBelow(cache);
  await Deno.truncate(kept, 5000);
  assert.deepEqual(await readClip((await open(path)).video, range(30)), expected);
  await writeNumbered(path, 20);
  assert.equal((await open(path)).video.frames, 20);
});

Deno.test("videoOpener() goes on without a cache that cannot be written, and warns once", async () => {
  await using folder = await temporaryFolder();
  const [path, cache] = [`${folder.path}/a.mp4`, `${folder.path}/cache`];
  await writeNumbered(path, 9);
  await Deno.writeTextFile(cache, "no folder");
  const open = videoOpener({ cache });
  const { video, warning } = await open(path);
  assert.equal(video.frames, 9);
  assert.match(warning!, /^Cannot write to cache .*\/cache: .*; going on without$/);
  assert.equal((await open(path)).warning, undefined);
});
