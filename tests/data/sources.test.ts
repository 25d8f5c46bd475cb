import assert from "node:assert/strict";
import { dirname } from "node:path";
import { gzipSync } from "node:zlib";
import { DataError } from "../../data/dataset.ts";
import { findImages } from "../../data/find.ts";
import { listImages } from "../../data/list.ts";
import { sampleName } from "../../data/place.ts";
import { expandBraces, shardImages } from "../../data/shards.ts";
import { type ImageSource, openSource } from "../../data/source.ts";
import { tarMembers } from "../../data/tar.ts";
import { contentOf, options, take } from "./batches.ts";
import {
  CLASSES,
  photoBytes,
  photoNames,
  shardMembers,
  writeFolder,
  writeShards,
} from "./photos.ts";
import { encodeTar, member } from "./tar_file.ts";
import { temporaryFolder } from "./temporary_folder.ts";

const NAMES = await photoNames();
const LABELS = NAMES.map((name) => CLASSES.indexOf(dirname(name)));
const text = (words: string) => new TextEncoder().encode(words);

function namesOf(source: ImageSource): string[] {
  return Array.from({ length: source.length }, (_, i) => sampleName(source, i));
}

/** Expects one sentence that names the file. */
async function refuses(work: Promise<unknown>, message: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof DataError, String(error));
    assert.match(error.message, message);
    assert.ok(!error.message.includes("\n"));
    return true;
  });
}

Deno.test("loadBatches() gives equal batches from a class folder, a list and tar shards", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeFolder(`${path}/folder`, NAMES);
  const list = NAMES.map((name) => `folder/${name} ${dirname(name)}\n`).join("");
  await Deno.writeTextFile(`${path}/list.txt`, list);
  await writeShards(`${path}/shards`, NAMES);
  await writeShards(`${path}/gzipped`, NAMES, { gzip: true });
  const sources = await Promise.all([
    findImages(`${path}/folder/`),
    findImages(`${path}/list.txt`),
    findImages(`${path}/shards`),
    findImages(`${path}/shards/train-{000..002}.tar`),
    findImages(`${path}/gzipped`, `${path}/cache`),
  ]);
  const runs = [];
  for (const { train, val } of sources) {
    assert.equal(val, undefined);
    assert.deepEqual([...train.labels!], LABELS);
    assert.deepEqual(namesOf(train).map((name) => name.replace("folder/", "")), NAMES);
    assert.deepEqual(train, structuredClone(train)); // can be posted to a worker
    runs.push(contentOf(await take(4, options(train))));
  }
  for (const run of runs) assert.deepEqual(run, runs[0]);
  assert.deepEqual(sources.map(({ train }) => train.classes), [
    ...[CLASSES, CLASSES],
    ...[undefined, undefined, undefined],
  ]);
});

Deno.test("listImages() reads paths and labels, by TAB or space", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/list.txt`;
  const read = async (text: string) => {
    await Deno.writeTextFile(path, text);
    return await listImages(path);
  };
  const mixed = await read("# comment\n\na.jpg dog\r\nmy photo.jpg\tlarge cat\n/abs/b.png\n");
  assert.deepEqual(mixed.files, [
    `${folder.path}/a.jpg`,
    `${folder.path}/my photo.jpg`,
    "/abs/b.png",
  ]);
  assert.deepEqual([...mixed.labels!], [0, 1, -1]);
  assert.deepEqual(mixed.classes, ["dog", "large cat"]);
  const numbered = await read("a.jpg 7\nb.jpg  10\n");
  assert.deepEqual([...numbered.labels!], [7, 10]);
  assert.equal(numbered.classes, undefined);
  assert.deepEqual(await read("a.jpg\n"), {
    ...{ kind: "files", listed: true, length: 1 },
    ...{ files: [`${folder.path}/a.jpg`], root: folder.path },
  });
  await refuses(read("# nothing\n"), /Cannot use .*list\.txt: it lists no image$/);
  await refuses(
    read("a.jpg 1\nmy photo.jpg 2\n"),
    /list\.txt: line 2 is no path and label; put a T/,
  );
  const comma = "has a comma but no TAB or space: put a TAB between path and label";
  await refuses(
    read("# a table\na.jpg,fishes\nb.jpg,tools\n"),
    new RegExp(`^Cannot read .*list\\.txt: line 2 ${comma}$`),
  );
  assert.deepEqual([...(await read("a,b.jpg 1\nc,d.jpg 2\n")).labels!], [1, 2]);
  assert.equal((await read("a,b.jpg\nc.jpg\n")).length, 2); // one file that may be missing
  await Deno.writeTextFile(`${folder.path}/a,b.jpg`, "");
  assert.equal((await read("a,b.jpg\nc,d.jpg\n")).length, 2);
  await refuses(read("\0\x01"), /list\.txt: it is no list of images, tar shard or IDX file$/);
});

Deno.test("loadBatches() skips a listed file that is missing, and a member that is no image", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await Deno.writeFile(`${path}/good.jpg`, await photoBytes(NAMES[0]));
  await Deno.writeTextFile(`${path}/list.txt`, "good.jpg\nlost.jpg\n");
  const files = [{ name: "a/good.jpg", bytes: await photoBytes(NAMES[0]) }];
  const bad = { name: "a/bad.jpg", bytes: text("no photo") };
  await Deno.writeFile(`${path}/a.tar`, encodeTar([...files, bad]));
  const cases: [string, string, RegExp][] = [
    ["list.txt", `${path}/lost.jpg`, /^Cannot read .*\/lost\.jpg: no such file$/],
    [
      "a.tar",
      `${path}/a.tar/a/bad.jpg`,
      /^Cannot decode .*\/a\.tar\/a\/bad\.jpg: it is not a JPEG/,
    ],
  ];
  for (const [name, file, reason] of cases) {
    const { train } = await findImages(`${path}/${name}`);
    const [batch] = await take(1, options(train));
    assert.deepEqual([...batch.skipped.keys()], [file]);
    assert.match(batch.skipped.get(file)!, reason);
    await refuses(take(1, options(train, { maxBad: 0 })), /1 of 2 are bad \(maxBad allows 0\)/);
  }
});

Deno.test("tarMembers() reads long names of pax and GNU, and skips what is no file", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.tar`;
  const long = `${"deep/".repeat(40)}é.jpg`;
  const files = [
    { name: "a.jpg", bytes: text("one") },
    { name: long, bytes: text("two".repeat(9000)) },
    { name: "b.cls", bytes: text("") },
  ];
  for (const style of ["pax", "gnu"] as const) {
    const folders = member("folder/", "5", text("")).flatMap((block) => [...block]);
    await Deno.writeFile(path, Uint8Array.from([...folders, ...encodeTar(files, style)]));
    const whole = await Deno.readFile(path);
    const found = [...tarMembers(path)].map(({ name, offset, size }) => ({
      name,
      bytes: whole.slice(offset, offset + size),
    }));
    assert.deepEqual(found, files);
  }
});

Deno.test("tarMembers() reads what GNU tar writes, in all its formats", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const name = `${"long_".repeat(30)}/${"name_".repeat(30)}.jpg`;
  await Deno.mkdir(dirname(`${path}/in/${name}`), { recursive: true });
  await Deno.writeTextFile(`${path}/in/${name}`, "content");
  for (const format of ["gnu", "pax"]) {
    const args = ["-c", `--format=${format}`, "-f", `${path}/a.tar`, "-C", `${path}/in`, "."];
    const { code } = await new Deno.Command("tar", { args }).output();
    assert.equal(code, 0);
    const [member, ...others] = [...tarMembers(`${path}/a.tar`)].map(({ name, read }) => [
      name,
      new TextDecoder().decode(read()),
    ]);
    assert.deepEqual(others, []);
    assert.deepEqual(member, [`./${name}`, "content"]);
  }
});

Deno.test("tarMembers() gives a hard link the bytes of the file that it leads to", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await Deno.mkdir(`${path}/in`);
  await Deno.writeTextFile(`${path}/in/a.jpg`, "content");
  await Deno.link(`${path}/in/a.jpg`, `${path}/in/b.jpg`);
  const args = ["-c", "-f", `${path}/a.tar`, "-C", `${path}/in`, "a.jpg", "b.jpg"];
  assert.equal((await new Deno.Command("tar", { args }).output()).code, 0);
  assert.deepEqual(
    [...tarMembers(`${path}/a.tar`)].map(({ name, read }) => [
      name,
      new TextDecoder().decode(read()),
    ]),
    [["a.jpg", "content"], ["b.jpg", "content"]],
  );
});

Deno.test("findImages() refuses a folder of images and tar files", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await Deno.mkdir(`${path}/cats`);
  await Deno.writeTextFile(`${path}/cats/a.jpg`, "any");
  await Deno.writeFile(`${path}/labels.tar`, encodeTar([{ name: "a.txt", bytes: text("any") }]));
  await assert.rejects(findImages(path), {
    name: "DataError",
    message:
      `Cannot use folder ${path}: it holds images and tar files (labels.tar): move either away`,
  });
});

Deno.test("shardImages() groups members by their name up to the first dot", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.tar`;
  const names = [
    "x/1.mask.png",
    "x/1.jpg",
    "x/1.cls",
    "x.y/2.cls",
    "x.y/2.png",
    "3.v2.jpg",
    "._4.jpg",
  ];
  const bytes = (name: string) => text(name.endsWith("1.cls") ? "cat" : "dog \n");
  await Deno.writeFile(path, encodeTar(names.map((name) => ({ name, bytes: bytes(name) }))));
  const source = await shardImages([path]);
  assert.deepEqual(namesOf(source), ["x/1.jpg", "x.y/2.png", "3.v2.jpg"]);
  assert.deepEqual([...source.labels!], [0, 1, -1]);
  assert.deepEqual(source.classes, ["cat", "dog"]);
});

Deno.test("shardImages() names a shard that is bad, and the member", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const members = await shardMembers(NAMES.slice(0, 2));
  const whole = encodeTar(members);
  const damaged = whole.slice();
  damaged[3] ^= 1;
  const gzipped = gzipSync(whole);
  const scrambled = gzipped.map((byte, i) => i > 5000 && i < 6000 ? byte ^ 0x5a : byte);
  const labels = encodeTar(members.filter(({ name }) => name.endsWith(".cls")));
  const bad: [string, Uint8Array, RegExp][] = [
    ["short.tar", whole.slice(0, 3000), /short\.tar: it is truncated within animals\/[\w-]+\.jpg$/],
    ["header.tar", whole.slice(0, -1024 - 700), /header\.tar: it (is truncated|has no valid tar)/],
    ["damaged.tar", damaged, /damaged\.tar: it has no valid tar header at byte 0$/],
    ["text.tar", text("no tar ".repeat(99)), /text\.tar: it has no valid tar header at byte 0$/],
    ["labels.tar", labels, /Cannot use .*labels\.tar: no member is named as an image$/],
    ["short.tar.gz", gzipped.subarray(0, -3000), /short\.tar\.gz: its gzip data are truncated or/],
    ["bad.tgz", scrambled, /bad\.tgz: its gzip data are truncated or damaged$/],
    ["plain.tgz", whole, /plain\.tgz: its gzip data are truncated or damaged$/],
    ["in.tgz", gzipSync(whole.slice(0, 3000)), /in\.tgz: it is truncated within animals/],
  ];
  for (const [name, bytes, message] of bad) {
    await Deno.writeFile(`${path}/${name}`, bytes);
    await refuses(shardImages([`${path}/${name}`], `${path}/cache`), message);
  }
  for await (const { name } of Deno.readDir(`${path}/cache`)) { // only in.tgz left something
    for await (const { name: file } of Deno.readDir(`${path}/cache/${name}`)) {
      assert.match(file, /^[0-9a-f]{64}\.tar$/);
    }
  }
  await refuses(shardImages([`${path}/no.tar`]), /Cannot read .*\/no\.tar: no such file$/);
});

Deno.test("expandBraces() counts with zeros, and refuses what is no range", () => {
  assert.deepEqual(expandBraces("a-{08..11}.tar"), [
    "a-08.tar",
    "a-09.tar",
    "a-10.tar",
    "a-11.tar",
  ]);
  assert.deepEqual(expandBraces("{0..1}/{2..3}"), ["0/2", "0/3", "1/2", "1/3"]);
  for (const bad of ["a-{0..}.tar", "a-{3..1}", "a-{0..2", "a}", "{a..b}", "plain", "{0..1}{"]) {
    assert.throws(() => expandBraces(bad), /^DataError: Cannot expand .*: a range is written like/);
  }
});

Deno.test("findImages() takes splits by their names, in every form", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const [train, val] = [NAMES.filter((_, i) => i % 3 > 0), NAMES.filter((_, i) => i % 3 === 0)];
  await writeFolder(`${path}/folders/train`, train);
  await writeFolder(`${path}/folders/valid`, val);
  await writeFolder(`${path}/lists/all`, NAMES);
  const list = (names: string[]) => names.map((name) => `all/${name} ${dirname(name)}\n`).join("");
  await Deno.writeTextFile(`${path}/lists/train.txt`, list(train));
  await Deno.writeTextFile(`${path}/lists/val.txt`, list(val));
  await writeShards(`${path}/shards`, train);
  await writeShards(`${path}/shards`, val, { split: "val" });
  await writeShards(`${path}/both/train`, train);
  await writeShards(`${path}/both/val`, val);
  for (const form of ["folders", "lists", "shards", "both"]) {
    const found = await findImages(`${path}/${form}`);
    const names = (source: ImageSource) => namesOf(source).map((name) => name.replace("all/", ""));
    assert.deepEqual([names(found.train), names(found.val!)], [train, val], form);
  }
  await Deno.mkdir(`${path}/classes/train`, { recursive: true });
  await writeFolder(`${path}/classes`, NAMES); // an empty train/ and no val/: just classes
  assert.deepEqual((await findImages(`${path}/classes`)).train.classes, CLASSES);
});

Deno.test("findImages() reads IDX images, labels and test images", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const images = (count: number) =>
    Uint8Array.from([...[0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2], ...Array(4 * count)]);
  const labels = (...all: number[]) => Uint8Array.from([0, 0, 8, 1, 0, 0, 0, all.length, ...all]);
  await Deno.writeFile(`${path}/train-images-idx3-ubyte.gz`, gzipSync(images(3)));
  await Deno.writeFile(`${path}/train-labels-idx1-ubyte.gz`, gzipSync(labels(9, 4, 2)));
  await Deno.writeFile(`${path}/t10k-images-idx3-ubyte`, images(2));
  const { train, val } = await findImages(path);
  assert.deepEqual([train.kind, train.length, [...train.labels!]], ["idx", 3, [9, 4, 2]]);
  assert.deepEqual([val!.kind, val!.length, val!.labels], ["idx", 2, undefined]);
  assert.equal((await (await openSource(train, 3)).get(2)).pixels.length, 12);
  await Deno.writeFile(`${path}/train-labels-idx1-ubyte`, labels(1));
  await refuses(findImages(path), /train-labels-idx1-ubyte: it has 1 labels, not 3$/);
});

Deno.test("findImages() names what is missing or empty", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await Deno.writeFile(`${path}/empty.txt`, new Uint8Array());
  await refuses(findImages(`${path}/missing`), /Cannot read folder .*missing: no such folder$/);
  await refuses(findImages(`${path}/empty.txt`), /empty\.txt: it lists no image$/);
  await refuses(findImages(path), /it holds no JPEG, PNG, WebP, GIF, AVIF, TIFF or \.npy image$/);
  await refuses(findImages(`${path}/a-{0..1.tar`), /a range is written like \{000000\.\.000009\}$/);
  await refuses(findImages(`${path}/a-{0..1}.tar`), /Cannot read .*\/a-0\.tar: no such file$/);
});
