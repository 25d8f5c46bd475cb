import assert from "node:assert/strict";
import {
  loadMaskBatches,
  type MaskBatch,
  type MaskLoadOptions,
} from "../../../data/masks/loader.ts";
import type { MaskSource } from "../../../data/masks/source.ts";
import { fold, key, permutation } from "../../../src/random.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { greyPng, sharpPng, STEP, write, writePairs } from "./pairs.ts";

function options(source: MaskSource, changes: Partial<MaskLoadOptions> = {}): MaskLoadOptions {
  return {
    source,
    ...{ seed: 5, batch: 4, start: 0, workers: 2 },
    ...{ channels: 3, mean: [0, 0.5, 0.5], std: [1, 0.25, 0.25] },
    rule: { classes: 4, ignoreIndex: 255, reduceZeroLabel: false },
    crop: { width: 32, height: 24 },
    scale: { long: 128, short: 32 },
    ratio: [0.5, 2],
    ...{ flip: true, photometric: true, categoryShare: 0.75 },
    ...changes,
  };
}

async function take(count: number, options: MaskLoadOptions): Promise<MaskBatch[]> {
  const batches: MaskBatch[] = [];
  for await (const batch of loadMaskBatches(options)) {
    if (batches.push(batch) === count) break;
  }
  return batches;
}

Deno.test("loadMaskBatches() goes through each epoch once, in the order of its permutation", async () => {
  await using folder = await temporaryFolder();
  const source = await writePairs(folder.path, ["a", "b", "c", "d", "e", "f"]);
  const batches = await take(3, options(source));
  const order = [0, 1].flatMap((epoch) => [...permutation(fold(key(5), epoch), 6)]);
  assert.deepEqual(batches.flatMap(({ indices }) => [...indices]), order);
  assert.deepEqual(
    batches.map(({ position, epoch }) => [position, epoch]),
    [[4, 0], [8, 0], [12, 1]],
  );
  const [{ images, labels, skipped, warnings }] = batches;
  assert.equal(images.length, 4 * 24 * 32 * 3);
  assert.equal(labels.length, 4 * 24 * 32);
  assert.deepEqual([skipped.size, warnings.size], [0, 0]);
});

Deno.test("loadMaskBatches() does not depend on the number of workers or on where it starts", async () => {
  await using folder = await temporaryFolder();
  const source = await writePairs(folder.path, ["a", "b", "c", "d", "e"]);
  const reference = await take(4, options(source, { workers: 1, prefetch: 0 }));
  assert.deepEqual(await take(4, options(source, { workers: 3, prefetch: 4 })), reference);
  const resumed = await take(2, options(source, { start: reference[1].position }));
  assert.deepEqual(resumed, reference.slice(2));
  const [other] = await take(1, options(source, { seed: 6 }));
  assert.notDeepEqual(other.images, reference[0].images);
});

Deno.test("loadMaskBatches() pads an image smaller than the crop with what is ignored", async () => {
  await using folder = await temporaryFolder();
  const source = await writePairs(folder.path, ["a"], { width: 20, height: 10, patch: 5 });
  const [{ images, labels }] = await take(
    1,
    options(source, {
      ...{ batch: 1, scale: null, ratio: [1, 1], flip: false, photometric: false },
    }),
  );
  labels.forEach((label, i) => {
    const inside = i % 32 < 20 && Math.floor(i / 32) < 10;
    assert.equal(label === 255, !inside);
    const pixel = images.subarray(3 * i, 3 * i + 3);
    if (inside) assert.equal(pixel[0], Math.fround(STEP * label / 255));
    else assert.deepEqual([...pixel], [0, 0, 0]);
  });
});

Deno.test("loadMaskBatches() puts the next good pair in a bad one's place and says what is wrong", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const names = ["a", "image", "size", "b", "label", "colours", "cut", "c"];
  const source = await writePairs(path, names);
  const whole = await Deno.readFile(source.masks[6]);
  await write(path, {
    "images/image.png": "no photo",
    "masks/size.png": greyPng(44, 60, Array(44 * 60).fill(1)),
    "masks/label.png": greyPng(60, 44, Array(60 * 44).fill(4)),
    "masks/colours.png": await sharpPng(60, 44, 3),
    "masks/cut.png": whole.subarray(0, whole.length / 2),
  });
  const runs = [];
  for (const workers of [1, 2]) runs.push(await take(4, options(source, { workers })));
  assert.deepEqual(runs[0].map(({ labels }) => labels), runs[1].map(({ labels }) => labels));
  const order = permutation(fold(key(5), 0), 8);
  const expected = Array.from(order, (_, place) => {
    while (![0, 3, 7].includes(order[place % 8])) place++;
    return order[place % 8];
  });
  for (const run of runs) {
    assert.deepEqual(run.flatMap(({ indices }) => [...indices]).slice(0, 8), expected);
    const { skipped } = run[3];
    assert.equal(skipped.size, 5);
    const reasons: Record<string, RegExp> = {
      image: /^Cannot decode .*images\/image\.png: it is not a JPEG/,
      size:
        /^Cannot use mask .*masks\/size\.png: it has 44 × 60 pixels, its image .*images\/size\.png has 60 × 44$/,
      label: /masks\/label\.png: it holds the label 4, which is none of 4 classes/,
      colours: /masks\/colours\.png: it holds colours, not class indices/,
      cut: /masks\/cut\.png: it is truncated or damaged$/,
    };
    for (const [name, reason] of Object.entries(reasons)) {
      assert.match(skipped.get(`${path}/images/${name}.png`)!, reason);
    }
  }
  await assert.rejects(take(9, options(source, { maxBad: 4 })), {
    name: "DataError",
    message:
      /^Cannot load masks: 5 of 8 pairs are bad \(maxBad allows 4\), first: Cannot decode .*image/,
  });
  const bad = { ...source, length: 1, images: [source.images[2]], masks: [source.masks[2]] };
  await assert.rejects(take(1, options(bad)), /1 of 1 pairs are bad, first: .*size\.png/);
});

Deno.test("loadMaskBatches() reduces labels once and gives any number of channels", async () => {
  await using folder = await temporaryFolder();
  const source = await writePairs(folder.path, ["a"], { width: 32, height: 24 });
  const [batch] = await take(
    1,
    options(source, {
      ...{ batch: 1, scale: null, ratio: [1, 1], flip: false },
      ...{ channels: 1, mean: [0], std: [1] },
      rule: { classes: 3, ignoreIndex: 255, reduceZeroLabel: true },
    }),
  );
  assert.equal(batch.images.length, 24 * 32);
  assert.deepEqual([...new Set(batch.labels)].sort((a, b) => a - b), [0, 1, 2, 255]);
});

Deno.test("loadMaskBatches() refuses options out of range", async () => {
  const source = { kind: "masks", length: 1, images: ["a"], masks: ["b"], root: "." } as const;
  const changes: Partial<MaskLoadOptions>[] = [
    { batch: 0 },
    { workers: 0.5 },
    { start: -1 },
    { prefetch: -1 },
    { mean: [0] },
    { crop: { width: 0, height: 8 } },
    { scale: { long: 100, short: 0 } },
    { ratio: [0, 1] },
    { ratio: [2, 1] },
    { categoryShare: 0 },
    { rule: { classes: 300, ignoreIndex: 255, reduceZeroLabel: false } },
    { source: { ...source, length: 0, images: [], masks: [] } },
  ];
  for (const change of changes) {
    await assert.rejects(take(1, options(source, change)), RangeError);
  }
});
