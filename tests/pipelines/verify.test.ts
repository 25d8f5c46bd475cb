import assert from "node:assert/strict";
import type { Audit } from "../../data/audit.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { photoBytes, photoNames, writeFolder, writeShards } from "../data/photos.ts";
import { encodePng } from "../data/png.ts";
import { encodeTiff } from "../data/tiff.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const NAMES = await photoNames();

async function verify(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "-q", "data", "verify", ...args],
    cwd: ROOT,
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out, err };
}

/** Photos with one of each fault in `train`, and a copy of one in `val`. */
async function writeFaults(path: string): Promise<void> {
  await writeFolder(`${path}/train`, NAMES);
  const photo = await photoBytes(NAMES[0]);
  const grey = encodePng({ width: 40, height: 8, type: 0, samples: Array(320).fill(9) });
  await Deno.writeFile(`${path}/train/tools/half.jpg`, photo.subarray(0, photo.length / 2));
  await Deno.writeFile(`${path}/train/tools/small.png`, grey);
  await Deno.writeFile(`${path}/train/tools/twin.jpg`, await photoBytes(NAMES[1]));
  await writeFolder(`${path}/val`, [NAMES[0]]);
  for (const name of ["train/a.bmp", "train/tools/b.BMP", "val/LICENCE"]) {
    await Deno.writeTextFile(`${path}/${name}`, "");
  }
}

Deno.test("data verify --json lists what is unreadable, tiny, double or leaks", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeFaults(path);
  const { code, out, err } = await verify(path, "--json");
  assert.deepEqual([code, err], [1, ""]);
  const found: Audit = JSON.parse(out);
  const train = (name: string) => ({ split: "train", file: `${path}/train/${name}` });
  const half = train("tools/half.jpg");
  const reason = `Cannot decode ${half.file}: it is truncated or damaged`;
  const leak = [train(NAMES[0]), { split: "val", file: `${path}/val/${NAMES[0]}` }];
  assert.deepEqual(found.unreadable, [{ ...half, reason }]);
  assert.deepEqual(found.tiny, [{ ...train("tools/small.png"), width: 40, height: 8 }]);
  assert.deepEqual(found.leaks, [leak]);
  assert.deepEqual(found.duplicates, [[train(NAMES[1]), train("tools/twin.jpg")]]);
  assert.deepEqual(found.ignored, { ".bmp": 2, "": 1 });
  assert.equal(found.pixels, undefined); // grey and colours
  assert.deepEqual(found.splits.train.classes, { animals: 3, fishes: 3, tools: 6 });
  assert.deepEqual(found.splits.train.channels, { 1: 1, 3: 10 });
  assert.deepEqual(found.splits.val.classes, { animals: 1, fishes: 0, tools: 0 });
  assert.deepEqual([found.splits.train.images, found.splits.train.height!.min], [12, 8]);
});

Deno.test("data verify prints a table and the offenders", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeFaults(path);
  const { code, out, err } = await verify(
    `${path}/train`,
    "--val",
    `${path}/val`,
    "--min-side",
    "8",
  );
  assert.deepEqual([code, err], [1, ""]);
  assert.match(out, /^ +images +width: least – median – most +height +channels$/m);
  assert.match(out, /^train +12 /m);
  assert.match(out, /^class +train +val$/m);
  assert.match(out, /^tools +6 +0$/m);
  assert.match(out, /^1 unreadable\n {2}train: Cannot decode .*half\.jpg: it is/m);
  assert.match(out, /^0 with a side below 8 pixels$/m);
  assert.match(out, /^1 group of equal files\n {2}train: .* = train: .*twin\.jpg$/m);
  assert.match(out, /^1 leak: equal files in train and val\n {2}train: .* = val: /m);
  assert.match(out, /^ignored: 2 \.bmp, 1 without extension; images are \.jpg, .* and \.npy$/m);
  assert.ok(!out.includes("data.mean"), out);
});

Deno.test("data verify gives the mean and deviation of pixels as the recipe takes them", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const write = async (name: string, samples: number[], width: number) => {
    const bytes = encodePng({ width, height: 1, type: 2, samples });
    await Deno.writeFile(`${path}/${name}`, bytes);
  };
  await write("a.png", [0, 255, 51, 255, 255, 51], 2);
  await write("b.png", [0, 0, 51], 1); // counts as much as the wider one
  const found: Audit = JSON.parse((await verify(path, "--json")).out);
  const rounded = (values: readonly number[]) => values.map((x) => Math.round(x * 1e9) / 1e9);
  assert.equal(found.pixels!.images, 2);
  assert.deepEqual(rounded(found.pixels!.mean), [0.25, 0.5, 0.2]);
  assert.deepEqual(rounded(found.pixels!.std), [0.433012702, 0.5, 0]);
  await Deno.remove(`${path}/b.png`);
  const { out } = await verify(path);
  assert.match(out, /^pixels of 1 image: data\.mean=0\.5,1,0\.2 data\.std=0\.5,0,0$/m);
});

Deno.test("data verify counts the pages of a TIFF as channels, and says so", async () => {
  await using folder = await temporaryFolder();
  const page = (value: number, width = 40) => ({
    ...{ width, height: 40, bands: 1, bits: 8, photometric: 1 } as const,
    samples: Array(40 * width).fill(value),
  });
  await Deno.writeFile(
    `${folder.path}/a.tif`,
    encodeTiff(...[0, 51, 102, 204, 255].map((v) => page(v))),
  );
  const { code, out } = await verify(folder.path);
  assert.equal(code, 0, out);
  assert.match(out, /^train +1 .* 5 \(1\)$/m);
  const advice = "model.channels=5 takes each page as a channel, 1 or 3 the first page alone";
  assert.ok(out.includes(`\n1 TIFF of 5 pages: ${advice}\n`), out);
  assert.match(out, /data\.mean=0,0\.2,0\.4,0\.8,1 data\.std=0,0,0,0,0$/m);
  await Deno.writeFile(`${folder.path}/b.tif`, encodeTiff(page(0), page(0, 39)));
  const { code: failed, out: unlike } = await verify(folder.path);
  assert.equal(failed, 1);
  assert.match(unlike, /^ {2}Cannot use .*b\.tif: its 2 pages differ in size, bands or bits$/m);
});

Deno.test("data verify names the image that lies in no class, and leaves out unknown sizes", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await Deno.mkdir(`${path}/cat`);
  for (const name of ["cat/a.jpg", "stray.jpg"]) await Deno.writeTextFile(`${path}/${name}`, "no");
  const { code, out } = await verify(path);
  assert.equal(code, 1);
  assert.match(out, /^no classes: stray\.jpg lies in no subfolder$/m);
  assert.match(out, /^ +images\ntrain +2\n\n/);
});

Deno.test("data verify finds nothing wrong with good shards", async () => {
  await using folder = await temporaryFolder();
  await writeShards(folder.path, NAMES);
  const { code, out, err } = await verify(`${folder.path}/train-{000..002}.tar`);
  assert.deepEqual([code, err], [0, ""]);
  for (const line of ["0 unreadable", "0 with a side below 32 pixels", "0 groups of equal files"]) {
    assert.ok(out.includes(line), out);
  }
});

Deno.test("data verify refuses what makes no sense, with one sentence", async () => {
  const cases: [string[], RegExp][] = [
    [["/no/where"], /^Cannot read folder \/no\/where: no such folder\n$/],
    [[], /^Expected one path, got 0: deno task data verify PATH\n$/],
    [["a", "--min-side", "x"], /^Option --min-side expects a positive integer, got x\n$/],
    [["a", "--min-side", "-5"], /^Option --min-side expects a positive integer, got -5\n$/],
    [["a", "--fast"], /^Unknown option '--fast': see deno task data --help\n$/],
  ];
  for (const [args, message] of cases) {
    const { code, out, err } = await verify(...args);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, message);
  }
});
