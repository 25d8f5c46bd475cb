import assert from "node:assert/strict";
import { shrink } from "../../data/cache.ts";
import { decodeImage } from "../../data/decode.ts";
import { findImages } from "../../data/find.ts";
import { openSource } from "../../data/source.ts";
import { loadBatches, type LoadOptions } from "../../data/loader.ts";
import { contentOf, options, take } from "./batches.ts";
import { photoNames, writeFolder, writeShards } from "./photos.ts";
import { temporaryFolder } from "./temporary_folder.ts";

const NAMES = await photoNames();

async function filesBelow(folder: string): Promise<string[]> {
  const files: string[] = [];
  for await (const { name } of Deno.readDir(folder)) {
    assert.match(name, /^[0-9a-f]{2}$/);
    for await (const file of Deno.readDir(`${folder}/${name}`)) {
      assert.match(file.name, new RegExp(`^${name}[0-9a-f]{62}\\.npy$`));
      files.push(`${folder}/${name}/${file.name}`);
    }
  }
  return files.sort();
}

Deno.test("shrink() meets the short side, bicubic, and never enlarges", async () => {
  const file = new URL(`../../data/photos/${NAMES[0]}`, import.meta.url).pathname;
  const photo = await decodeImage(file);
  assert.equal(shrink(photo, 1000), photo);
  const { width, height, pixels } = shrink(photo, 50);
  assert.equal(Math.min(width, height), 50);
  assert.equal(
    Math.max(width, height),
    Math.trunc(
      50 * Math.max(photo.width, photo.height) /
        Math.min(photo.width, photo.height),
    ),
  );
  assert.equal(pixels.length, width * height * 3);
});

Deno.test("loadBatches() reads no original in the second epoch of a run with a cache", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  for (const form of ["photos", "shards"]) {
    if (form === "photos") await writeFolder(`${path}/${form}`, NAMES);
    else await writeShards(`${path}/${form}`, NAMES);
    const { train } = await findImages(`${path}/${form}`);
    const cache = { folder: `${path}/cache/${form}`, side: 64 };
    const epoch = { batch: NAMES.length, prefetch: 0 };
    const batches = [];
    for await (const batch of loadBatches(options(train, { ...epoch, cache }))) {
      if (batches.length === 0) await Deno.remove(`${path}/${form}`, { recursive: true });
      if (batches.push(batch) === 2) break;
    }
    assert.equal((await filesBelow(cache.folder)).length, NAMES.length);
    assert.deepEqual([batches[1].skipped.size, batches[1].warnings.size], [0, 0]);

    if (form === "photos") await writeFolder(`${path}/${form}`, NAMES);
    else await writeShards(`${path}/${form}`, NAMES);
    const anew = { folder: `${path}/cache/other`, side: 64 };
    const first = await take(2, options(train, { ...epoch, cache: anew }));
    const second = await take(2, options(train, { ...epoch, cache: anew, workers: 1 }));
    assert.deepEqual(contentOf(first), contentOf(batches));
    assert.deepEqual(contentOf(second), contentOf(batches));
    await Deno.remove(anew.folder, { recursive: true });
  }
});

Deno.test("A cache changes batches only where images are larger than its side", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeFolder(`${path}/photos`, NAMES);
  const { train } = await findImages(`${path}/photos`);
  const run = async (changes: Partial<LoadOptions>) =>
    contentOf(await take(2, options(train, changes)));
  const reference = await run({});
  assert.deepEqual(await run({ cache: { folder: `${path}/cache`, side: 5000 } }), reference);
  assert.notDeepEqual(await run({ cache: { folder: `${path}/cache`, side: 40 } }), reference);
});

Deno.test("A damaged or outdated cache file is decoded anew", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeFolder(`${path}/photos`, NAMES.slice(0, 1));
  const { train } = await findImages(`${path}/photos`);
  const cache = { folder: `${path}/cache`, side: 64 };
  const get = async () => await (await openSource(train, 3, cache)).get(0);
  const image = await get();
  const [file] = await filesBelow(cache.folder);
  const whole = await Deno.readFile(file);
  for (const damaged of [whole.slice(0, -9), whole.slice(0, 20), new Uint8Array(100)]) {
    await Deno.writeFile(file, damaged);
    assert.deepEqual(await get(), image);
    assert.deepEqual(await Deno.readFile(file), whole);
  }
  await Deno.utime(`${path}/photos/${NAMES[0]}`, 1, 1);
  assert.deepEqual(await get(), image);
  assert.equal((await filesBelow(cache.folder)).length, 2);
  assert.equal((await (await openSource(train, 1, cache)).get(0)).channels, 1);
  assert.equal((await filesBelow(cache.folder)).length, 3);
});

Deno.test("A cache that cannot be written is given up with one warning", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeFolder(`${path}/photos`, NAMES);
  const { train } = await findImages(`${path}/photos`);
  const side = 64;
  const reference = await take(3, options(train, { cache: { folder: `${path}/cache`, side } }));
  await Deno.writeTextFile(`${path}/blocked`, "a file where a folder must be");
  const cache = { folder: `${path}/blocked`, side };
  const batches = await take(3, options(train, { cache }));
  assert.deepEqual(contentOf(batches), contentOf(reference));
  const [warning, ...others] = batches[2].warnings;
  assert.match(warning, /^Cannot write to cache .*\/blocked: .*; going on without$/);
  assert.deepEqual([others, batches[2].skipped.size], [[], 0]);
});
