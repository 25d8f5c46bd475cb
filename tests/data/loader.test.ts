import assert from "node:assert/strict";
import { DataError, imageFolder } from "../../data/dataset.ts";
import type { LoadOptions } from "../../data/loader.ts";
import { fold, key, permutation } from "../../src/random.ts";
import { options as optionsOf, take } from "./batches.ts";
import { temporaryFolder } from "./temporary_folder.ts";

const PHOTOS = new URL("../../data/photos", import.meta.url).pathname;
const { files: photos } = await imageFolder(PHOTOS);

/** Options for small crops of `files`. */
function options(files: string[], changes: Partial<LoadOptions> = {}): LoadOptions {
  return optionsOf({ kind: "files", files, length: files.length }, changes);
}

Deno.test("loadBatches() goes through each epoch once, in the order of its permutation", async () => {
  const files = photos.slice(0, 6);
  const batches = await take(3, options(files));
  const order = [0, 1].flatMap((epoch) => [...permutation(fold(key(5), epoch), 6)]);
  assert.deepEqual(batches.flatMap(({ indices }) => [...indices]), order);
  assert.deepEqual(batches.map(({ position, epoch }) => [position, epoch]), [[4, 0], [8, 0], [
    12,
    1,
  ]]);
  assert.equal(batches[0].images.length, 4 * 24 * 40 * 3);
  assert.ok(batches.every(({ images }) => images.every((x) => x >= -2 && x <= 2)));
});

Deno.test("loadBatches() does not depend on the number of workers or on where it starts", async () => {
  const files = photos.slice(0, 7);
  const [reference, ...others] = await Promise.all([
    take(5, options(files, { workers: 1, prefetch: 0 })),
    take(5, options(files, { workers: 2 })),
    take(5, options(files, { workers: 3, prefetch: 4 })),
  ]);
  for (const batches of others) assert.deepEqual(batches, reference);
  const resumed = await take(2, options(files, { start: reference[2].position }));
  assert.deepEqual(resumed, reference.slice(3));
  const [other] = await take(1, options(files, { seed: 6 }));
  assert.notDeepEqual(other.images, reference[0].images);
});

Deno.test("loadBatches() draws another view of an image in each epoch", async () => {
  const [{ images, indices }] = await take(1, options(photos.slice(0, 1), { batch: 3 }));
  assert.deepEqual([...indices], [0, 0, 0]); // a batch may be larger than the source
  const size = images.length / 3;
  assert.notDeepEqual(images.slice(0, size), images.slice(size, 2 * size));
});

Deno.test("loadBatches() puts the next good image in a bad one's place and lists it once", async () => {
  await using folder = await temporaryFolder();
  const text = `${folder.path}/text.jpg`;
  const half = `${folder.path}/half.jpg`;
  await Deno.writeTextFile(text, "no photo");
  await Deno.writeFile(half, (await Deno.readFile(photos[0])).subarray(0, 3000));
  const files = [photos[0], text, photos[1], half, photos[2]];
  const runs = await Promise.all([1, 2, 3].map((workers) => take(4, options(files, { workers }))));
  for (const run of runs) assert.deepEqual(run, runs[0]);
  const order = permutation(fold(key(5), 0), 5);
  const expected = Array.from(order, (_, place) => {
    while ([1, 3].includes(order[place % 5])) place++;
    return order[place % 5];
  });
  const indices = runs[0].flatMap(({ indices }) => [...indices]);
  assert.deepEqual(indices.slice(0, 5), expected);
  const { skipped } = runs[0][3];
  assert.deepEqual([...skipped.keys()].sort(), [half, text].sort());
  assert.match(skipped.get(text)!, /it is not a JPEG/);
  assert.match(skipped.get(half)!, /truncated/);
});

Deno.test("loadBatches() ends when more files are bad than borne, or all", async () => {
  await using folder = await temporaryFolder();
  const bad = ["a.jpg", "b.jpg", "c.jpg"].map((name) => `${folder.path}/${name}`);
  for (const path of bad) await Deno.writeTextFile(path, "no photo");
  await assert.rejects(take(1, options(bad)), (error) => {
    assert.ok(error instanceof DataError);
    assert.match(error.message, /3 of 3 are bad, first: Cannot decode .*a\.jpg: it is not/);
    return true;
  });
  const files = [...bad, photos[0]];
  await assert.rejects(take(3, options(files, { maxBad: 2 })), /3 of 4 are bad/);
  assert.equal((await take(3, options(files, { maxBad: 3 }))).length, 3);
});

Deno.test("loadBatches() reads IDX images, grey or repeated", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/images.idx`;
  const header = [0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 4];
  const pixels = Array.from({ length: 48 }, (_, i) => [0, 51, 255][Math.floor(i / 16)]);
  await Deno.writeFile(path, Uint8Array.from([...header, ...pixels]));
  const source = { kind: "idx", path, length: 3 } as const;
  for (const channels of [1, 3] as const) {
    const [mean, std] = [0, 1].map((value) => Array(channels).fill(value));
    const [batch] = await take(1, options([], { source, channels, mean, std, batch: 3 }));
    const size = batch.images.length / 3;
    assert.equal(size, 24 * 40 * channels);
    batch.indices.forEach((index, sample) => {
      const view = batch.images.subarray(sample * size, (sample + 1) * size);
      assert.ok(view.every((x) => x === Math.fround([0, 0.2, 1][index])));
    });
  }
  await assert.rejects(
    take(1, options([], { source: { ...source, length: 9 } })),
    /images\.idx: it holds 3 images, not 9/,
  );
});

Deno.test("loadBatches() gives the labels of the images that it shows, also in a bad one's place", async () => {
  await using folder = await temporaryFolder();
  const text = `${folder.path}/text.jpg`;
  await Deno.writeTextFile(text, "no photo");
  const files = [photos[0], text, photos[1], photos[2]];
  const labels = Int32Array.of(7, 3, -1, 5);
  const source = { kind: "files", files, length: 4, labels } as const;
  const batches = await take(2, options([], { source }));
  for (const { indices, labels: found } of batches) {
    assert.deepEqual(found, Int32Array.from(indices, (index) => labels[index]));
    assert.ok(!indices.includes(1));
  }
  const [unlabelled] = await take(1, options(files));
  assert.ok(!("labels" in unlabelled));
});

Deno.test("loadBatches() repeats each image in a row, in other views, whatever the workers", async () => {
  const files = photos.slice(0, 7);
  const repeats = 3;
  const batches = await take(4, options(files, { repeats, workers: 1 }));
  const order = (epoch: number) => permutation(fold(key(5), epoch), 7);
  const expected = [0, 1, 2].flatMap((epoch) =>
    Array.from({ length: 7 }, (_, place) => order(epoch)[Math.floor(place / repeats)])
  );
  const indices = batches.flatMap(({ indices }) => [...indices]);
  assert.deepEqual(indices, expected.slice(0, 16));

  const views = batches.flatMap(({ images }) => {
    const size = images.length / 4;
    return [0, 1, 2, 3].map((i) => String(images.subarray(i * size, (i + 1) * size)));
  });
  assert.equal(new Set(views).size, 16);
  // The first of each row is the view of its image without repeats.
  const plain = await take(2, options(files));
  const size = plain[0].images.length / 4;
  assert.equal(views[0], String(plain[0].images.subarray(0, size)));
  assert.equal(views[3], String(plain[0].images.subarray(size, 2 * size)));

  const resumed = await take(2, options(files, { repeats, workers: 3, start: 8 }));
  assert.deepEqual(resumed, batches.slice(2));
});

Deno.test("loadBatches() erases parts of views and changes no other draw", async () => {
  const files = photos.slice(0, 4);
  const [plain] = await take(1, options(files));
  for (const mode of ["const", "pixel", "rand"] as const) {
    const erase = { probability: 1, mode };
    const [erased] = await take(1, options(files, { erase }));
    const size = plain.images.length / 4;
    for (let sample = 0; sample < 4; sample++) {
      let changed = 0;
      for (let i = sample * size; i < (sample + 1) * size; i++) {
        if (erased.images[i] === plain.images[i]) continue;
        changed++;
        if (mode === "const") assert.equal(erased.images[i], 0);
      }
      const share = changed / size;
      assert.ok(share > 0.01 && share < 0.4, `${mode} erased ${share} of sample ${sample}`);
    }
  }
  const never = { probability: 0, mode: "const" } as const;
  assert.deepEqual((await take(1, options(files, { erase: never })))[0], plain);
});

Deno.test("loadBatches() refuses options out of range", async () => {
  const changes: Partial<LoadOptions>[] = [
    { batch: 0 },
    { workers: 1.5 },
    { start: -1 },
    { repeats: 0 },
    { erase: { probability: 2, mode: "pixel" } },
    { mean: [0] },
    { source: { kind: "files", files: [], length: 0 } },
    { crop: { height: 8, width: 8, scale: [1, 0.2], flip: false } },
  ];
  for (const change of changes) {
    await assert.rejects(take(1, options(photos, change)), RangeError);
  }
});

Deno.test("loadBatches() lets the process end after it is left", async () => {
  const loader = new URL("../../data/loader.ts", import.meta.url);
  const code = `import { loadBatches } from "${loader}";
    for await (const batch of loadBatches(${JSON.stringify(options(photos.slice(0, 3)))})) break;`;
  const { code: status } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", code],
    cwd: new URL("../..", import.meta.url), // where deno.json is
    signal: AbortSignal.timeout(30_000),
  }).output();
  assert.equal(status, 0);
});
