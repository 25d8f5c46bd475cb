import assert from "node:assert/strict";
import { dirname } from "node:path";
import { sampleName } from "../../data/place.ts";
import type { ImageSource } from "../../data/source.ts";
import { holdOut } from "../../data/split.ts";
import { openImages } from "../../pipelines/images.ts";
import { UsageError } from "../../pipelines/usage.ts";
import { contentOf, options, take } from "./batches.ts";
import { CLASSES, photoNames, writeFolder, writeShards } from "./photos.ts";
import { temporaryFolder } from "./temporary_folder.ts";

const NAMES = await photoNames();

function named(names: readonly string[], root = "/data"): ImageSource {
  return {
    ...{ kind: "files", root, files: names.map((name) => `${root}/${name}`) },
    ...{ length: names.length, labels: Int32Array.from(names, (_, i) => i) },
  };
}

function namesOf(source: ImageSource): string[] {
  return Array.from({ length: source.length }, (_, i) => sampleName(source, i));
}

Deno.test("holdOut() takes about the share, whatever the order, the folder or the rest", () => {
  const names = Array.from({ length: 4000 }, (_, i) => `class${i % 7}/${i}.jpg`);
  const { train, val } = holdOut(named(names), 0.1);
  assert.ok(Math.abs(val.length - 400) < 60, String(val.length));
  assert.deepEqual([...namesOf(train), ...namesOf(val)].sort(), [...names].sort());
  assert.deepEqual([...val.labels!].map((label) => names[label]), namesOf(val));
  const other = holdOut(named(names.slice(0, 2000).reverse(), "/elsewhere"), 0.1).val;
  const expected = namesOf(val).filter((name) => names.indexOf(name) < 2000);
  assert.deepEqual(namesOf(other).sort(), expected.sort());
  const more = new Set(namesOf(holdOut(named(names), 0.2).val));
  assert.ok(namesOf(val).every((name) => more.has(name))); // a larger share only adds
});

Deno.test("holdOut() splits every form of the same photos alike", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeFolder(`${path}/folder`, NAMES);
  await writeShards(`${path}/shards`, NAMES);
  const settings = { valShare: 0.4 };
  const [a, b] = await Promise.all(
    ["folder", "shards"].map((form) => openImages({ path: `${path}/${form}`, ...settings })),
  );
  assert.ok(a.val!.length > 0 && a.train.length > 0);
  assert.deepEqual(namesOf(a.val!), namesOf(b.val!));
  assert.deepEqual(a.val!.labels, b.val!.labels);
  for (const part of ["train", "val"] as const) {
    const [left, right] = await Promise.all([a, b].map((found) => take(2, options(found[part]!))));
    assert.deepEqual(contentOf(left), contentOf(right));
  }
});

Deno.test("holdOut() picks among the images of an IDX file", async () => {
  await using folder = await temporaryFolder();
  const count = 40;
  const header = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2];
  const pixels = Array.from({ length: 4 * count }, (_, i) => i >> 2);
  const path = `${folder.path}/a-idx3-ubyte`;
  await Deno.writeFile(path, Uint8Array.from([...header, ...pixels]));
  const { train, val } = await openImages({ path, valShare: 0.3 });
  const changes = { mean: [0], std: [1], channels: 1, batch: 1, workers: 1 };
  for (const source of [train, holdOut(train, 0.5).train, val!]) {
    for (const { images, indices: [index] } of await take(5, options(source, changes))) {
      assert.equal(images[0], Math.fround(Number(sampleName(source, index)) / 255));
    }
  }
});

Deno.test("openImages() holds a share of the folder's training images out, and leaves its split unseen", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const [train, val, other] = [NAMES.slice(0, 5), NAMES.slice(5, 7), NAMES.slice(7)];
  await writeFolder(`${path}/data/train`, [...train, NAMES[6]]);
  await writeFolder(`${path}/data/val`, val);
  await writeFolder(`${path}/other`, other);
  const split = await openImages({ path: `${path}/data` });
  assert.deepEqual(namesOf(split.val!), val);
  assert.deepEqual(namesOf(split.train), [...train, NAMES[6]]);
  const shared = await openImages({ path: `${path}/data`, valShare: 0.5 });
  assert.ok(shared.val!.length > 0 && shared.train.length > 0);
  assert.deepEqual([...namesOf(shared.train), ...namesOf(shared.val!)].sort(), [
    ...train,
    NAMES[6],
  ]);
  const valued = await openImages({ path: `${path}/data`, valPath: `${path}/other` });
  assert.deepEqual(namesOf(valued.val!), other);
  assert.deepEqual(valued.val!.classes, CLASSES);
  assert.deepEqual([...valued.val!.labels!], other.map((name) => CLASSES.indexOf(dirname(name))));
  assert.equal((await openImages({ path: `${path}/other` })).val, undefined);
});

Deno.test("openImages() refuses classes that do not meet, and shares that leave nothing", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeFolder(`${path}/train`, NAMES.slice(0, 4));
  await writeFolder(`${path}/val`, NAMES.slice(6));
  await writeShards(`${path}/shards`, NAMES.slice(0, 4));
  await Deno.writeTextFile(`${path}/file`, "");
  const cases: [Parameters<typeof openImages>[0], RegExp][] = [
    [
      { path: `${path}/train`, valPath: `${path}/val` },
      /^UsageError: Cannot validate on .*\/val: no training image is of class tools$/,
    ],
    [
      { path: `${path}/train`, valPath: `${path}/shards` },
      /shards: classes have names in the training images, numbers in the validation ones$/,
    ],
    [{ path: `${path}/train`, valShare: 0.9999999 }, /none of its 4 images is left$/],
    [
      { path: `${path}/train`, valShare: 1e-7 },
      /Recipe field data\.valShare is too small: 1e-7 of 4 images holds none out$/,
    ],
    [{ path: `${path}/train`, valPath: `${path}/none` }, /Cannot read folder .*none: no such/],
    [{ path: `${path}/train`, cache: `${path}/file` }, /Cannot make folder .*\/file: /],
    [{ path: null }, /data\.path is null$/],
  ];
  for (const [settings, message] of cases) {
    await assert.rejects(openImages(settings), (error) => {
      assert.ok(error instanceof UsageError, String(error));
      assert.match(String(error), message);
      return true;
    });
  }
});
