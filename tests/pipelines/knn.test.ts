import assert from "node:assert/strict";
import { knnAccuracy, type LabelledFeatures } from "../../pipelines/eval/knn.ts";
import { openDevice } from "../../src/device.ts";
import { fold, key, normal, uniform } from "../../src/random.ts";

const device = await openDevice();

/** Random features around a centre of their class. */
function made(seed: number, count: number, width: number, classes: number): LabelledFeatures {
  const labels = Int32Array.from(uniform(key(seed), count), (u) => Math.floor(classes * u));
  const noise = normal(fold(key(seed), 1), count * width);
  const centres = normal(fold(key(99), 2), classes * width);
  const features = noise.map((z, i) =>
    (z + 0.4 * centres[labels[Math.floor(i / width)] * width + i % width]) * (1 + i % 7)
  );
  return { features, labels };
}

/** All similarities in float64, sorted. */
function reference(
  train: LabelledFeatures,
  val: LabelledFeatures,
  k: number,
  temperature: number,
) {
  const width = train.features.length / train.labels.length;
  const rows = ({ features, labels }: LabelledFeatures) =>
    Array.from(labels, (_, i) => {
      const row = [...features.subarray(i * width, (i + 1) * width)];
      const norm = Math.hypot(...row);
      return row.map((x) => x / norm);
    });
  const references = rows(train);
  let [top1, top5] = [0, 0];
  rows(val).forEach((query, i) => {
    const near = references.map((row, j) => ({
      similarity: row.reduce((sum, x, c) => sum + x * query[c], 0),
      label: train.labels[j],
    })).sort((a, b) => b.similarity - a.similarity).slice(0, k);
    const votes = new Map<number, number>();
    for (const { similarity, label } of near) {
      votes.set(label, (votes.get(label) ?? 0) + Math.exp(similarity / temperature));
    }
    const order = [...votes].sort((a, b) => b[1] - a[1]).map(([label]) => label);
    top1 += Number(order[0] === val.labels[i]);
    top5 += Number(order.slice(0, 5).includes(val.labels[i]));
  });
  return { top1: top1 / val.labels.length, top5: top5 / val.labels.length };
}

Deno.test("knnAccuracy() matches its float64 reference, whatever k, temperature and sizes", async () => {
  for (
    const [count, queries, width, k, temperature] of [
      [37, 11, 6, 20, 0.07],
      [40, 12, 8, 1, 0.07],
      [37, 13, 5, 200, 1],
      [4, 5, 3, 20, 0.01],
    ]
  ) {
    const [train, val] = [made(1, count, width, 9), made(2, queries, width, 9)];
    const found = await knnAccuracy(device, { train, val, classes: 9, k, temperature });
    assert.deepEqual(found, reference(train, val, k, temperature), `${count}, ${queries}`);
  }
});

Deno.test("knnAccuracy() finds neighbours at the edges of its tiles", async () => {
  // Only these references are near to a query; the others point away from all of them.
  const [count, queries, width] = [2 * 8192 + 5, 1024 + 3, 4];
  const special = [0, 8191, 8192, 2 * 8192 - 1, 2 * 8192, count - 1];
  const features = new Float32Array(count * width);
  const labels = new Int32Array(count);
  for (let i = 0; i < count; i++) features.set([-1, 0, 0, -1], i * width);
  special.forEach((at, i) => {
    features.set([Math.cos(i), Math.sin(i), 2, 0], at * width);
    labels[at] = i + 1;
  });
  const val = { features: new Float32Array(queries * width), labels: new Int32Array(queries) };
  for (let i = 0; i < queries; i++) {
    const wanted = i % special.length;
    val.features.set([Math.cos(wanted), Math.sin(wanted), 2, 0], i * width);
    val.labels[i] = wanted + 1;
  }
  const options = { train: { features, labels }, val, classes: special.length + 1 };
  assert.deepEqual(await knnAccuracy(device, { ...options, k: 1 }), { top1: 1, top5: 1 });
  // One wrong label in each of the last rows.
  val.labels.fill(0, 1024);
  const { top1 } = await knnAccuracy(device, { ...options, k: 1 });
  assert.equal(top1, 1024 / queries);
});

Deno.test("knnAccuracy() counts no class without a vote, and breaks ties by the lower class", async () => {
  const train = { features: new Float32Array([1, 0, 1, 0]), labels: new Int32Array([2, 1]) };
  const val = { features: new Float32Array([1, 0, 1, 0, 1, 0]), labels: new Int32Array([0, 1, 2]) };
  assert.deepEqual(await knnAccuracy(device, { train, val, classes: 3, k: 2 }), {
    top1: 1 / 3,
    top5: 2 / 3,
  });
});

Deno.test("knnAccuracy() takes an opposite neighbour before the rows that fill up a tile", async () => {
  const train = { features: new Float32Array([-1, 0]), labels: new Int32Array([1]) };
  const val = { features: new Float32Array([1, 0]), labels: new Int32Array([1]) };
  const { top1 } = await knnAccuracy(device, { train, val, classes: 2 });
  assert.equal(top1, 1);
});

Deno.test("knnAccuracy() refuses what it cannot compare", async () => {
  const train = made(1, 4, 3, 2);
  const fails = (changes: object, message: RegExp) =>
    assert.rejects(
      knnAccuracy(device, { train, val: train, classes: 2, ...changes }),
      (error) => error instanceof RangeError && message.test(error.message),
    );
  await fails({ k: 0 }, /k = 0 neighbours/);
  await fails({ temperature: 0 }, /temperature is 0/);
  await fails({ val: made(1, 4, 2, 2) }, /8 values of 4 images with 12 of 4/);
  const features = train.features.slice();
  features[7] = NaN;
  await fails({ val: { ...train, features } }, /those of image 2 are not finite/);
});
