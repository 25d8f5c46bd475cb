import assert from "node:assert/strict";
import { evaluationCrop, normalise } from "../../data/augment.ts";
import { DataError } from "../../data/dataset.ts";
import { decodeImage } from "../../data/decode.ts";
import { type EvaluationOptions, loadInOrder } from "../../data/evaluation_loader.ts";
import type { ImageSource } from "../../data/source.ts";
import type { ViewBatch } from "../../data/views.ts";
import { writeIdx } from "./idx_file.ts";
import { photoBytes, photoNames } from "./photos.ts";
import { temporaryFolder } from "./temporary_folder.ts";

const NORMAL = { mean: [0.5, 0.4, 0.3], std: [0.25, 0.2, 0.3], channels: 3 };
const GREY = { mean: [0], std: [1], channels: 1 };
const CROP = { width: 24, height: 16 };

async function load(source: ImageSource, changes: Partial<EvaluationOptions> = {}) {
  const options = { source, batch: 4, workers: 1, crop: CROP, ...NORMAL, ...changes };
  return await Array.fromAsync(loadInOrder(options)) as ViewBatch[];
}

/** Photos in a folder under other names; those that begin with `bad` are no images. */
async function photosIn(path: string, names: readonly string[]): Promise<ImageSource> {
  const photos = await photoNames();
  for (const [i, name] of names.entries()) {
    if (name.startsWith("bad")) await Deno.writeTextFile(`${path}/${name}`, "no photo");
    else await Deno.writeFile(`${path}/${name}`, await photoBytes(photos[i]));
  }
  const files = names.map((name) => `${path}/${name}`);
  const labels = Int32Array.from(names, (_, i) => 10 * i);
  return { kind: "files", files, labels, length: files.length };
}

Deno.test("loadInOrder() gives the evaluation crops in order, without bad files", async () => {
  await using folder = await temporaryFolder();
  const names = ["a", "bad_b", "c", "d", "e", "bad_f", "g", "h"];
  const source = await photosIn(folder.path, names);
  const good = [0, 2, 3, 4, 6, 7];
  for (const workers of [1, 2]) {
    for (const prefetch of [0, 3]) {
      const batches = await load(source, { workers, prefetch });
      assert.deepEqual(batches.map(({ indices }) => [...indices]), [good.slice(0, 4), [6, 7]]);
      assert.deepEqual(
        batches.flatMap(({ labels }) => [...labels!]),
        good.map((index) => 10 * index),
      );
      const images = batches.flatMap(({ images }) => [...images]);
      const size = CROP.width * CROP.height * 3;
      assert.equal(images.length, good.length * size);
      for (const [at, index] of good.entries()) {
        const image = await decodeImage(`${folder.path}/${names[index]}`);
        const crop = evaluationCrop(image, CROP.width, CROP.height);
        assert.deepEqual(
          images.slice(at * size, (at + 1) * size),
          [...normalise(crop, NORMAL.mean, NORMAL.std)],
        );
      }
      const { skipped } = batches[1];
      assert.deepEqual([...skipped.keys()].sort(), [
        `${folder.path}/bad_b`,
        `${folder.path}/bad_f`,
      ]);
      assert.match(skipped.get(`${folder.path}/bad_b`)!, /it is not a JPEG/);
    }
  }
});

Deno.test("loadInOrder() ends when more files are bad than borne, or all", async () => {
  await using folder = await temporaryFolder();
  const source = await photosIn(folder.path, ["bad_a", "b", "bad_c", "d"]);
  await assert.rejects(load(source, { maxBad: 1 }), (error) => {
    assert.ok(error instanceof DataError);
    assert.match(error.message, /2 of 4 are bad \(maxBad allows 1\), first: .*bad_a/);
    return true;
  });
  assert.equal((await load(source, { maxBad: 2 })).length, 1);
  const bad = await photosIn(folder.path, ["bad_a", "bad_b"]);
  await assert.rejects(load(bad), /2 of 2 are bad, first: .*bad_a/);
});

Deno.test("loadInOrder() gives small images themselves without a margin", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/images.idx`;
  await writeIdx(path, 100, 8); // more than a message holds
  const source = { kind: "idx", path, length: 100 } as const;
  for (const batch of [7, 64, 200]) {
    const crop = { width: 8, height: 8, cropPct: 1 };
    const batches = await load(source, { ...GREY, batch, crop });
    assert.equal(batches.length, Math.ceil(100 / batch));
    const indices = batches.flatMap(({ indices }) => [...indices]);
    assert.deepEqual(indices, Array.from({ length: 100 }, (_, i) => i));
    const images = batches.flatMap(({ images }) => [...images]);
    assert.equal(images.length, 100 * 64);
    assert.ok(images.every((x, i) => x === Math.fround(Math.floor(i / 64) / 255)));
    assert.ok(batches.every(({ labels }) => labels === undefined));
  }
});

Deno.test("loadInOrder() leaves out a margin by cropPct", async () => {
  await using folder = await temporaryFolder();
  const source = await photosIn(folder.path, ["a"]);
  const image = await decodeImage(`${folder.path}/a`);
  for (const cropPct of [1, 0.5]) {
    const [{ images }] = await load(source, { crop: { ...CROP, cropPct } });
    const crop = evaluationCrop(image, CROP.width, CROP.height, cropPct);
    assert.deepEqual(images, normalise(crop, NORMAL.mean, NORMAL.std));
  }
});

Deno.test("loadInOrder() blames the image of a message that crashes the worker, and no other", async () => {
  const worker = new URL("./idx_crashing_worker.ts", import.meta.url);
  const source = { kind: "idx", path: "none", length: 6 } as const;
  const [batch, ...more] = await load(source, {
    ...{ ...GREY, worker, batch: 6, crop: { width: 1, height: 1 } },
  });
  assert.deepEqual(more, []);
  assert.deepEqual([...batch.indices], [0, 1, 2, 4, 5]);
  assert.deepEqual([...batch.images], [0, 1, 2, 4, 5]);
  assert.deepEqual([...batch.skipped], [[
    "none[3]",
    "Cannot decode none[3]: it crashes the decoder (it ended)",
  ]]);
});

Deno.test("loadInOrder() refuses options out of range", async () => {
  const source = { kind: "files", files: ["a"], length: 1 } as const;
  const changes: Partial<EvaluationOptions>[] = [
    { batch: 0 },
    { prefetch: -1 },
    { mean: [0] },
    { source: { ...source, files: [], length: 0 } },
    { crop: { ...CROP, cropPct: 0 } },
    { crop: { ...CROP, cropPct: 1.5 } },
  ];
  for (const change of changes) await assert.rejects(load(source, change), RangeError);
});

Deno.test("loadInOrder() lets the process end after it is left", async () => {
  const loader = new URL("../../data/evaluation_loader.ts", import.meta.url);
  await using folder = await temporaryFolder();
  const source = await photosIn(folder.path, ["a", "b", "c"]);
  const { labels: _, ...plain } = source;
  const options = { ...{ source: plain, batch: 1, workers: 2, crop: CROP }, ...NORMAL };
  const code = `import { loadInOrder } from "${loader}";
    for await (const batch of loadInOrder(${JSON.stringify(options)})) break;`;
  const { code: status } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", code],
    cwd: new URL("../..", import.meta.url), // where deno.json is
    signal: AbortSignal.timeout(30_000),
  }).output();
  assert.equal(status, 0);
});
