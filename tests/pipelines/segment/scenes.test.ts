import assert from "node:assert/strict";
import sharp from "sharp";
import type { CocoAnnotation, CocoImage, CocoInstances } from "../../../data/coco/instances.ts";
import type { RunLengths } from "../../../data/coco/run_lengths.ts";
import { DataError } from "../../../data/dataset.ts";
import type { StampFile } from "../../../data/stamps/find.ts";
import { holdOutStamps, makeScenes } from "../../../pipelines/segment/scenes.ts";
import { key } from "../../../src/random.ts";
import { photograph, writeStamp } from "../../data/made_stamps.ts";
import { temporaryFolder } from "../../data/temporary_folder.ts";

const SIZE = { width: 40, height: 32 };
const SCENES = { train: 24, val: 12 };
const NAMES = [
  ...["animals/cow.png", "animals/cow_white.png", "animals/fox.png", "animals/birds/duck.png"],
  ...["animals/birds/owl.png", "plants/rose1.png", "plants/rose2.png", "plants/tree.png"],
  ...["plants/iris.png", "plants/fern.png"],
];

/** Makes stamps and a few scenes of them. */
async function tryScenes(folder: string, name = "scenes") {
  for (const stamp of NAMES) await writeStamp(`${folder}/stamps/${stamp}`);
  const said: string[] = [];
  const settings = { stamps: `${folder}/stamps`, size: SIZE, scenes: SCENES };
  const path = await makeScenes((text) => said.push(text), `${folder}/${name}`, settings);
  return { path, said, settings };
}

/** Content of `instances.json`, with what is beyond COCO's format. */
interface Annotated extends CocoInstances {
  readonly images: readonly (CocoImage & { photo: string })[];
  readonly annotations: readonly (CocoAnnotation<RunLengths> & { stamp: string })[];
}

async function instancesOf(path: string): Promise<Annotated> {
  return JSON.parse(await Deno.readTextFile(`${path}/instances.json`));
}

async function filesBelow(path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(path)) {
    if (!isDirectory) names.push(name);
    else names.push(...(await filesBelow(`${path}/${name}`)).map((below) => `${name}/${below}`));
  }
  return names.sort();
}

async function maskOf(file: string) {
  const { format, channels, depth } = await sharp(file).metadata();
  const { data, info } = await sharp(file).toColourspace("b-w").raw()
    .toBuffer({ resolveWithObject: true });
  assert.deepEqual([format, channels, depth, info.channels], ["png", 1, "uchar", 1]);
  assert.deepEqual([info.width, info.height], [SIZE.width, SIZE.height]);
  return Uint8Array.from(data);
}

/** Decodes COCO's runs with its own formula: the i-th pixel is in column ⌊i / H⌋. */
function decode(counts: readonly number[], [height, width]: readonly number[]): Uint8Array {
  const columns = counts.flatMap((count, i) => Array<number>(count).fill(i % 2));
  assert.equal(columns.length, height * width);
  return Uint8Array.from(columns, (_, i) => columns[i % width * height + Math.floor(i / width)]);
}

Deno.test("makeScenes() writes images, masks, classes and annotations that agree", async () => {
  await using folder = await temporaryFolder();
  const { path, said } = await tryScenes(folder.path);
  assert.deepEqual(said, [
    `Making 36 scenes of 10 things before the bundled photos in ${path} …`,
    "train: 24 scenes of 8 things",
    "val: 12 scenes of 2 things",
  ]);
  const splits = Object.entries(SCENES);
  const numbered = (count: number) =>
    Array.from({ length: count }, (_, i) => String(i).padStart(4, "0"));
  assert.deepEqual(
    await filesBelow(path),
    [
      ...["classes.txt", "complete"],
      ...splits.flatMap(([split, count]) => [
        ...numbered(count).map((name) => `${split}/images/${name}.jpg`),
        ...numbered(count).map((name) => `${split}/masks/${name}.png`),
        `${split}/instances.json`,
      ]),
    ].sort(),
  );
  assert.equal(await Deno.readTextFile(`${path}/classes.txt`), "background\nforeground\n");
  assert.equal(await Deno.readTextFile(`${path}/complete`), "4\n");
  for (const [split, count] of splits) {
    const { images, categories, annotations } = await instancesOf(`${path}/${split}`);
    assert.deepEqual(
      images.map(({ photo: _, ...image }) => image),
      numbered(count).map((name, i) => ({ id: i + 1, file_name: `${name}.jpg`, ...SIZE })),
    );
    assert.deepEqual(annotations.map(({ id }) => id), annotations.map((_, i) => i + 1));
    for (const { id, file_name } of images) {
      const { format, width, height, channels } = await sharp(
        `${path}/${split}/images/${file_name}`,
      )
        .metadata();
      assert.deepEqual([format, width, height, channels], ["jpeg", SIZE.width, SIZE.height, 3]);
      const labels = await maskOf(`${path}/${split}/masks/${file_name.replace("jpg", "png")}`);
      let left = 0;
      for (const annotation of annotations.filter(({ image_id }) => image_id === id)) {
        const { bbox: [x, y, w, h], area, iscrowd, segmentation, category_id, stamp } = annotation;
        const mask = decode(segmentation.counts, segmentation.size);
        assert.deepEqual(segmentation.size, [SIZE.height, SIZE.width]);
        assert.equal(mask.reduce((sum, seen) => sum + seen, 0), area);
        const places = [...mask.keys()].filter((i) => mask[i]);
        const xs = places.map((i) => i % SIZE.width);
        const ys = places.map((i) => Math.floor(i / SIZE.width));
        assert.deepEqual([x, y], [Math.min(...xs), Math.min(...ys)]);
        assert.deepEqual([x + w - 1, y + h - 1], [Math.max(...xs), Math.max(...ys)]);
        assert.ok(places.every((i) => labels[i] === 1));
        assert.equal(iscrowd, 0);
        assert.equal(categories.find(({ id }) => id === category_id)!.name, "thing");
        assert.ok(NAMES.includes(stamp), stamp);
        left += area;
      }
      const foreground = labels.reduce((sum, label) => sum + label, 0);
      assert.ok(labels.every((label) => label <= 1));
      assert.ok(foreground - left < 3 * 16); // all but instances that are nearly hidden
    }
  }
});

Deno.test("makeScenes() shows no photo and no thing in both splits", async () => {
  await using folder = await temporaryFolder();
  const { path } = await tryScenes(folder.path);
  const [train, val] = await Promise.all([
    instancesOf(`${path}/train`),
    instancesOf(`${path}/val`),
  ]);
  const photos = ({ images }: Annotated) => new Set(images.map(({ photo }) => photo));
  const things = ({ annotations }: Annotated) =>
    new Set(annotations.map(({ stamp }) => stamp.replace(/[_12]*(white)?\.png$/, "")));
  assert.ok(photos(train).isDisjointFrom(photos(val)));
  assert.ok(things(train).isDisjointFrom(things(val)));
  assert.equal(photos(train).size, SCENES.train); // each in turn
  assert.equal(things(val).size, 2); // a fifth of each folder
});

Deno.test("makeScenes() makes the same scenes each time, and each once", async () => {
  await using folder = await temporaryFolder();
  const { path, settings } = await tryScenes(folder.path);
  const { path: other } = await tryScenes(folder.path, "others");
  for (const name of await filesBelow(path)) {
    assert.deepEqual(
      await Deno.readFile(`${path}/${name}`),
      await Deno.readFile(`${other}/${name}`),
      name,
    );
  }
  const said: string[] = [];
  await Deno.remove(settings.stamps, { recursive: true }); // are not needed any more
  assert.equal(await makeScenes((text) => said.push(text), path, settings), path);
  assert.deepEqual(said, []);
});

Deno.test("makeScenes() begins anew after it was stopped", async () => {
  await using folder = await temporaryFolder();
  const { path } = await tryScenes(folder.path);
  await Deno.remove(`${path}/complete`);
  await Deno.writeTextFile(`${path}/train/masks/0003.png`, "half a file");
  const { said } = await tryScenes(folder.path);
  assert.equal(said.length, 3);
  assert.equal((await maskOf(`${path}/train/masks/0003.png`)).length, SIZE.width * SIZE.height);
});

Deno.test("makeScenes() says how to get stamps, and keeps nothing", async () => {
  await using folder = await temporaryFolder();
  const [stamps, path] = [`${folder.path}/stamps`, `${folder.path}/scenes`];
  const refused = (message: string) =>
    assert.rejects(
      makeScenes(() => {}, path, { stamps }),
      (error: Error) => error instanceof DataError && error.message === message,
    );
  await refused(`Cannot read stamps in ${stamps}: no such folder; run deno task setup:stamps`);
  await writeStamp(`${stamps}/animals/cow.png`, photograph);
  await refused("Cannot make scenes: there are no stamps for train");
  await writeStamp(`${stamps}/animals/cow2.png`, photograph);
  await refused("Cannot make scenes: there are no stamps for val");
  await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
});

Deno.test("holdOutStamps() holds a fifth of each category out, variants together", () => {
  const stamp = (name: string): StampFile => ({
    ...{ file: `/stamps/${name}`, name, category: name.split("/")[0] },
  });
  const word = (i: number) => String.fromCharCode(97 + i).repeat(3);
  const stamps = ["animals", "plants"].flatMap((category, c) =>
    Array.from({ length: 12 }, (_, i) => i + 12 * c).flatMap((i) => [
      ...[stamp(`${category}/${word(i)}.png`), stamp(`${category}/more/${word(i)}-2.png`)],
    ])
  );
  const seen = new Set<string>();
  for (let seed = 0; seed < 20; seed++) {
    const { train, val } = holdOutStamps(stamps, key(seed));
    assert.deepEqual(new Set([...train, ...val]), new Set(stamps));
    const words = [train, val].map((side) =>
      new Set(side.map(({ name }) => name.match(/([a-z])\1\1/)![0]))
    );
    assert.ok(words[0].isDisjointFrom(words[1]));
    for (const category of ["animals", "plants"]) {
      assert.equal(val.filter((stamp) => stamp.category === category).length, 4); // of 24
    }
    seen.add(val.map(({ name }) => name).join());
  }
  assert.ok(seen.size > 10);
});
