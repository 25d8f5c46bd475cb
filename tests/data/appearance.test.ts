import assert from "node:assert/strict";
import { augmenter } from "../../data/appearance.ts";
import { normalise } from "../../data/augment.ts";
import { colorJitter } from "../../data/color_jitter.ts";
import { imageFolder } from "../../data/dataset.ts";
import { parseRandAugment, randAugment } from "../../data/rand_augment.ts";
import { fold, key, split } from "../../src/random.ts";
import { options as optionsOf, take } from "./batches.ts";

const PHOTOS = new URL("../../data/photos", import.meta.url).pathname;
const MEAN = [0.485, 0.456, 0.406];
const IMAGE = {
  width: 12,
  height: 9,
  channels: 3,
  pixels: Uint8Array.from({ length: 324 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 24),
};

Deno.test("augmenter() lets RandAugment take the jitter's place, bicubic and filled with the mean", () => {
  const both = augmenter({ randAugment: "rand-m9-mstd0.5-inc1", colorJitter: 0.4 }, MEAN);
  const policy = parseRandAugment("rand-m9-mstd0.5-inc1");
  const settings = { ...policy, interpolation: "bicubic", fill: [124, 116, 104] } as const;
  const jitter = augmenter({ randAugment: null, colorJitter: 0.4 }, MEAN);
  for (let seed = 0; seed < 20; seed++) {
    assert.deepEqual(both(IMAGE, key(seed)), randAugment(IMAGE, settings, key(seed)));
    assert.deepEqual(jitter(IMAGE, key(seed)), colorJitter(IMAGE, 0.4, key(seed)));
  }
  assert.deepEqual(augmenter({ randAugment: null, colorJitter: 0 }, MEAN)(IMAGE, key(0)), IMAGE);
});

Deno.test("augmenter() refuses settings out of range", () => {
  assert.throws(
    () => augmenter({ randAugment: null, colorJitter: -1 }, MEAN),
    /Cannot jitter colours: the strength is -1, not at least 0/,
  );
  assert.throws(() => augmenter({ randAugment: "rnd", colorJitter: 0 }, MEAN), RangeError);
});

Deno.test("loadBatches() augments views before they are normalised, with draws of their own", async () => {
  const { files } = await imageFolder(PHOTOS);
  const source = { kind: "files", files: files.slice(0, 4), length: 4 } as const;
  const [mean, std] = [[0, 0, 0], [1 / 255, 1 / 255, 1 / 255]]; // bytes again
  const plain = optionsOf(source, { mean, std });
  const augment = { randAugment: "rand-m9-p1-inc1", colorJitter: 0 };
  const [[before], [after]] = await Promise.all([
    take(1, plain),
    take(1, { ...plain, augment }),
  ]);
  assert.deepEqual(after.indices, before.indices);
  const change = augmenter(augment, mean);
  const { height, width } = plain.crop;
  const size = height * width * 3;
  before.indices.forEach((index, i) => {
    const pixels = Uint8Array.from(before.images.subarray(i * size, (i + 1) * size), Math.round);
    const sampleKey = fold(key(5), 0, index);
    const changed = change({ height, width, channels: 3, pixels }, split(sampleKey, 3)[2]);
    assert.notDeepEqual(changed.pixels, pixels);
    const expected = normalise(changed, mean, std);
    assert.deepEqual(after.images.slice(i * size, (i + 1) * size), expected);
  });
});

Deno.test("loadBatches() refuses an augmentation that it cannot read", async () => {
  const source = { kind: "files", files: ["none.jpg"], length: 1 } as const;
  const augment = { randAugment: "rand-m99", colorJitter: 0 };
  await assert.rejects(take(1, optionsOf(source, { augment })), /"rand-m99": m is 99/);
});
