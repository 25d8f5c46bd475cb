import assert from "node:assert/strict";
import { measureWay, openFashion } from "../../pipelines/fashion.ts";
import { measureRow, type RowRequest } from "../../pipelines/fashion_row.ts";
import { findFinetuneRecipe, findProbeRecipe } from "../../pipelines/recipes/mod.ts";
import { openDevice } from "../../src/device.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { writeSplits } from "./fashion_splits.ts";

const requestOf = (folder: string): RowRequest => ({
  ...{ data: folder, folder, way: { name: "raw pixels" }, seed: 3 },
  finetuning: findFinetuneRecipe("finetune_fashion"),
  probe: findProbeRecipe("linprobe_fashion"),
});
const measure = (request: RowRequest) => measureRow(request, 0, new AbortController().signal);

Deno.test("measureRow() brings the figures that this process would find", async () => {
  await using data = await temporaryFolder();
  await writeSplits(data.path);
  const request = requestOf(data.path);
  const { seconds: _, ...found } = await measure(request);
  const settings = { ...request, ...await openFashion(data.path), say: () => {} };
  const device = await openDevice();
  const { seconds: __, ...expected } = await measureWay(device, settings, request.way, 3);
  device.gpu.destroy();
  assert.deepEqual(found, expected);
});

Deno.test("measureRow() names a row whose process fails", async () => {
  await using empty = await temporaryFolder();
  await assert.rejects(
    measure(requestOf(empty.path)),
    /^Error: raw pixels, seed 3: not measured$/,
  );
});
