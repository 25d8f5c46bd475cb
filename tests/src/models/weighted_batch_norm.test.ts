import { type BatchNormParams, byBatch } from "../../../src/models/batch_norm.ts";
import { byCountedRows } from "../../../src/models/weighted_batch_norm.ts";
import { readAll } from "../../../src/plan/read.ts";
import { tensor } from "../../../src/tensor.ts";
import { close, random, sharedDevice } from "../../check_op.ts";

const values = (shape: number[], seed: number) =>
  tensor(Float32Array.from(random(shape, seed).data), shape);

const layer: BatchNormParams = {
  ...{ weight: values([3], 1), bias: values([3], 2) },
  ...{ running_mean: values([3], 3), running_var: values([3], 4) },
};

Deno.test("byCountedRows() is byBatch() of the rows that count", async () => {
  const x = random([5, 2, 4, 3], 5);
  const some = tensor(Float32Array.from([...x.data.slice(0, 24), ...x.data.slice(48, 96)]), [
    ...[3, 2, 4, 3],
  ]);
  const batch = byBatch(layer);
  const counted = byCountedRows(layer, tensor([1, 0, 1, 1, 0]));
  const expected = batch.normalise(some, layer);
  const found = counted.normalise(tensor(Float32Array.from(x.data), x.shape), layer);
  const [exact, y, ...moments] = await readAll(await sharedDevice(), [
    ...[expected, found],
    ...Object.values(batch.statistics()),
    ...Object.values(counted.statistics()),
  ]);
  close([...y.slice(0, 24), ...y.slice(48, 96)], exact, 1e-6);
  close(moments[2], moments[0], 1e-6, "mean");
  close(moments[3], moments[1], 1e-6, "variance");
});

Deno.test("byCountedRows() leaves the running moments where no row counts", async () => {
  const { normalise, statistics } = byCountedRows(layer, tensor([0, 0]));
  normalise(values([2, 4, 3], 6), layer);
  const { running_mean, running_var } = statistics();
  const [mean, variance, ...running] = await readAll(await sharedDevice(), [
    ...[running_mean, running_var, layer.running_mean, layer.running_var],
  ]);
  close([...mean, ...variance], running.flatMap((value) => [...value]), 0);
});
