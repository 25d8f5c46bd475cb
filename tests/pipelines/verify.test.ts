import assert from "node:assert/strict";
import type { Audit } from "../../data/audit.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { photoBytes, photoNames, writeFolder, writeShards } from "../data/photos.ts";
import { encodePng } from "../data/png.ts";

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
  assert.deepEqual(found.duplicates, [leak, [train(NAMES[1]), train("tools/twin.jpg")]]);
  assert.deepEqual(found.splits.train.classes, { animals: 3, fishes: 3, tools: 6 });
  assert.deepEqual(found.splits.train.channels, { 1: 1, 3: 10 });
  assert.deepEqual(found.splits.val.classes, { animals: 1, fishes: 0, tools: 0 });
  assert.deepEqual([found.splits.train.images, found.splits.train.height.min], [12, 8]);
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
  assert.match(out, /^2 groups of equal files$/m);
  assert.match(out, /^1 leaks: .*\n {2}train: .* = val: /m);
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
    [["a", "--fast"], /^Unknown option '--fast': see deno task data --help\n$/],
  ];
  for (const [args, message] of cases) {
    const { code, out, err } = await verify(...args);
    assert.deepEqual([code, out], [2, ""]);
    assert.match(err, message);
  }
});
