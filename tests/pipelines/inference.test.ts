import assert from "node:assert/strict";
import { inferInOrder, type InferredBatch, prepareInference } from "../../pipelines/inference.ts";
import { openDevice } from "../../src/device.ts";
import { add, mul } from "../../src/ops/map.ts";
import { sum } from "../../src/ops/reduce.ts";
import { upload } from "../../src/plan/read.ts";
import { read } from "../../src/plan/read.ts";
import { type Tensor, tensor } from "../../src/tensor.ts";
import { writeIdx } from "../data/idx_file.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";

const device = await openDevice();
const SIZE = { batch: 3, imageSize: [2, 2], channels: 1 } as const;

/** Twice the images and their sums, plus a parameter. */
const model = ({ gain }: { gain: Tensor }, images: Tensor) => ({
  maps: mul(images, gain),
  sums: add(sum(images, [1, 2, 3]), gain),
});

Deno.test("prepareInference() gives the rows of a short batch, whatever was run before", async () => {
  const { run, shapes, destroy } = await prepareInference(
    device,
    SIZE,
    { gain: tensor([2]) },
    model,
  );
  assert.deepEqual(shapes, { maps: [2, 2, 1], sums: [] });
  const pixels = (from: number, count: number) =>
    Float32Array.from({ length: 4 * count }, (_, i) => from + i);
  // Not awaited in between: each answer is of its own images.
  const answers = [run(pixels(0, 3), 3), run(pixels(100, 2), 2), run(pixels(200, 3), 3)];
  const [first, second, third] = await Promise.all(answers);
  assert.deepEqual([...first.sums], [8, 24, 40]);
  assert.deepEqual([...second.sums], [408, 424]);
  assert.deepEqual([...second.maps], [...pixels(100, 2)].map((x) => 2 * x));
  assert.deepEqual([...third.sums], [808, 824, 840]);
  await assert.rejects(run(pixels(0, 4), 4), RangeError);
  await assert.rejects(run(pixels(0, 2), 3), /Cannot run 3 images of 8 values/);
  destroy();
});

Deno.test("prepareInference() leaves parameters on the device to their owner", async () => {
  const gain = upload(device, tensor([3]));
  const { run, destroy } = await prepareInference(device, SIZE, { gain }, model);
  assert.deepEqual([...(await run(new Float32Array(4), 1)).sums], [3]);
  destroy();
  assert.deepEqual([...await read(device, gain)], [3]);
});

Deno.test("inferInOrder() gives every image once and in order, also one batch late", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/train-images-idx3-ubyte`;
  await writeIdx(path, 8, 2); // all pixels of image i are i
  const labels = Int32Array.from({ length: 8 }, (_, i) => 10 + i);
  const source = { kind: "idx", path, length: 8, labels } as const;
  const inference = await prepareInference(device, SIZE, { gain: tensor([0]) }, model);
  const batches: InferredBatch[] = [];
  const options = {
    ...{ source, channels: 1, mean: [0], std: [1], workers: 1 },
    crop: { width: 2, height: 2, cropPct: 1 },
  };
  for await (const batch of inferInOrder(inference, options)) batches.push(batch);
  inference.destroy();
  assert.deepEqual(batches.map(({ indices }) => [...indices]), [[0, 1, 2], [3, 4, 5], [6, 7]]);
  assert.deepEqual(batches.map(({ labels }) => labels![0]), [10, 13, 16]);
  const sums = batches.flatMap(({ values }) => [...values.sums]);
  sums.forEach((found, i) => assert.ok(Math.abs(found - 4 * i / 255) < 1e-6, `${i}: ${found}`));
  assert.equal(sums.length, 8);
});
