import assert from "node:assert/strict";
import { DataError } from "../../../data/dataset.ts";
import { loadThingsInOrder } from "../../../data/things/evaluation_loader.ts";
import { findThings } from "../../../data/things/find.ts";
import { loadThingBatches, type ThingLoadOptions } from "../../../data/things/loader.ts";
import type { ThingSource } from "../../../data/things/source.ts";
import { fold, key, permutation } from "../../../src/random.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { squaresOf, writeSquares } from "./squares.ts";

function options(source: ThingSource, changes: Partial<ThingLoadOptions> = {}): ThingLoadOptions {
  return {
    source,
    ...{ seed: 5, batch: 2, start: 0, workers: 2, most: 3 },
    ...{ channels: 3, mean: [0, 0.5, 0.5], std: [1, 0.25, 0.25] },
    canvas: { width: 64, height: 96 },
    jitter: [0.5, 1.5],
    ...{ shorter: [64], longer: 64, flip: true },
    ...changes,
  };
}

async function take(count: number, options: ThingLoadOptions) {
  return await Array.fromAsync(
    (async function* () {
      let left = count;
      for await (const batch of loadThingBatches(options)) {
        yield batch;
        if (--left === 0) return;
      }
    })(),
  );
}

Deno.test("loadThingBatches() depends on positions alone, and leaves room for more things", async () => {
  await using folder = await temporaryFolder();
  await writeSquares(folder.path, 3);
  const { train } = await findThings(folder.path);
  const batches = await take(3, options(train));
  const order = [0, 1].flatMap((epoch) => [...permutation(fold(key(5), epoch), 3)]);
  assert.deepEqual(batches.flatMap(({ indices }) => [...indices]), order);
  const [{ images, filled, boxes, classes, masks }] = batches;
  assert.equal(images.length, 2 * 96 * 64 * 3);
  assert.equal(boxes.length, 2 * 3 * 4);
  assert.equal(masks.length, 2 * 3 * 96 * 64 / 32);
  assert.deepEqual([classes[2], classes[5]], [2, 2]); // no third thing
  assert.deepEqual([...masks.subarray(2 * 192, 3 * 192)], Array(192).fill(0));
  assert.ok(filled.every((side, i) => side > 0 && side <= [96, 64][i % 2]));
  assert.deepEqual(await take(3, options(train, { workers: 1, prefetch: 0 })), batches);
  assert.deepEqual(await take(1, options(train, { start: 4 })), batches.slice(2));
});

Deno.test("loaders skip and name images that are bad or of another size, and give up if all are", async () => {
  await using folder = await temporaryFolder();
  await writeSquares(folder.path, 3);
  await Deno.writeTextFile(`${folder.path}/images/1.png`, "no image");
  const { train } = await findThings(folder.path);
  const sizes = train.sizes.map((size, i) => i === 2 ? [64, 65] as const : size);
  const source = { ...train, sizes };
  const [{ indices, skipped }] = await take(1, options(source, { batch: 6 }));
  assert.deepEqual([...new Set(indices)], [0]);
  assert.equal(skipped.size, 2);
  assert.equal(
    skipped.get(`${folder.path}/images/2.png`),
    `Cannot use ${folder.path}/images/2.png: it has 64 × 64 pixels, its annotations say 65 × 64`,
  );
  const bad = { ...source, sizes: source.sizes.map(() => [1, 1] as const) };
  await assert.rejects(
    take(1, options(bad)),
    (error: Error) =>
      error instanceof DataError &&
      /^Cannot load annotated images: 3 of 3 images are bad, first: /.test(error.message),
  );
});

Deno.test("loadThingsInOrder() shows whole images, made to fit", async () => {
  await using folder = await temporaryFolder();
  await writeSquares(folder.path, 2);
  const { train: source } = await findThings(folder.path);
  const { channels, mean, std, canvas, jitter, shorter, longer } = options(source);
  const scale = { canvas, jitter, shorter, longer };
  const pictures = await Array.fromAsync(
    loadThingsInOrder({ source, workers: 1, channels, mean, std, scale }),
  );
  assert.deepEqual(pictures.map(({ index }) => index), [0, 1]);
  const [{ image, filled, original }] = pictures;
  assert.deepEqual([filled, original], [[64, 64], [64, 64]]);
  const [{ x, y }] = squaresOf(0);
  assert.ok(Math.abs(image[3 * (y * 64 + x)] - 230 / 255) < 1e-6); // red, of mean 0 and deviation 1
  assert.ok(image.subarray(64 * 64 * 3).every((value) => value === 0)); // beyond the image
});

Deno.test("loaders refuse options out of range", async () => {
  await using folder = await temporaryFolder();
  await writeSquares(folder.path, 1);
  const { train } = await findThings(folder.path);
  const refused = (changes: Partial<ThingLoadOptions>, message: string) =>
    assert.rejects(take(1, options(train, changes)), { name: "RangeError", message });
  const what = "Cannot load annotated images";
  await refused({ batch: 0 }, `${what}: batch is 0, not a positive integer`);
  await refused({ jitter: [2, 1] }, `${what}: jitter is [2,1], not a positive range`);
  await refused({ jitter: null, longer: 65 }, `${what}: edges of 65 do not fit 96 × 64`);
  await refused(
    { canvas: { width: 60, height: 64 } },
    `${what}: 64 × 60 are not multiples of 32`,
  );
  await refused({ mean: [0] }, "Cannot load 3 channels: mean has 1, std has 3");
});
