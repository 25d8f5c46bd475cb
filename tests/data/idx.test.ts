import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { DataError } from "../../data/dataset.ts";
import { idxImages, idxLabels, readIdx } from "../../data/idx.ts";
import { temporaryFolder } from "./temporary_folder.ts";

const IMAGES = [
  0,
  0,
  8,
  3,
  0,
  0,
  0,
  2,
  0,
  0,
  0,
  2,
  0,
  0,
  0,
  3,
  1,
  2,
  3,
  4,
  5,
  6,
  7,
  8,
  9,
  10,
  11,
  12,
];
const LABELS = [0, 0, 8, 1, 0, 0, 0, 2, 9, 4];

async function withFile<T>(bytes: Uint8Array, use: (path: string) => Promise<T>): Promise<T> {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/file.idx`;
  await Deno.writeFile(path, bytes);
  return await use(path);
}

Deno.test("idxImages() and idxLabels() read plain and gzipped files", async () => {
  for (
    const encode of [
      (b: number[]) => Uint8Array.from(b),
      (b: number[]) => gzipSync(Uint8Array.from(b)),
    ]
  ) {
    const images = await withFile(encode(IMAGES), idxImages);
    assert.equal(images.length, 2);
    assert.deepEqual(await images.get(1), {
      width: 3,
      height: 2,
      channels: 1,
      pixels: Uint8Array.of(7, 8, 9, 10, 11, 12),
    });
    assert.deepEqual([...await withFile(encode(LABELS), idxLabels)], [9, 4]);
  }
});

Deno.test("readIdx() names a file that is bad and says why", async () => {
  const bad: [Uint8Array, RegExp][] = [
    [Uint8Array.of(), /file\.idx: it is not an IDX file of bytes$/],
    [Uint8Array.of(0, 0, 13, 1, 0, 0, 0, 0), /it is not an IDX file of bytes/], // floats
    [Uint8Array.from(IMAGES.slice(0, 10)), /its header is truncated/],
    [Uint8Array.from(IMAGES.slice(0, -1)), /shape \[2,2,3\] needs 12 bytes, 11 found/],
    [Uint8Array.from([...IMAGES, 0]), /13 found/],
    [gzipSync(Uint8Array.from(IMAGES)).subarray(0, -9), /gzip data are truncated or damaged/],
  ];
  for (const [bytes, message] of bad) {
    await assert.rejects(withFile(bytes, readIdx), (error) => {
      assert.ok(error instanceof DataError);
      assert.match(error.message, message);
      return true;
    });
  }
  await assert.rejects(readIdx("/nowhere.idx"), /Cannot read \/nowhere\.idx: no such file/);
  await assert.rejects(withFile(Uint8Array.from(LABELS), idxImages), /its shape is \[2\], not/);
  await assert.rejects(withFile(Uint8Array.from(IMAGES), idxLabels), /its shape is \[2,2,3\], not/);
});
