import assert from "node:assert/strict";
import { checkCocoEval } from "../../pipelines/parity/coco.ts";
import { loadSafetensors, type Safetensors } from "../../src/safetensors.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";

const GOLDEN = new URL("../golden", import.meta.url).pathname;
const load = () => loadSafetensors(`${GOLDEN}/coco_eval.safetensors`);

function check(dir: string, file: Safetensors) {
  const device = () => Promise.reject(new Error("No device is needed"));
  return [...checkCocoEval({ dir, file, device })];
}

Deno.test("checkCocoEval() finds figures and masks equal to those of COCO's API", async () => {
  const file = await load();
  const checks = check(GOLDEN, file);
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
  const names = new Set(checks.map(({ tensor }) => tensor));
  assert.equal(names.size, checks.length);
  for (const name of file.tensors.keys()) assert.ok(names.has(name), `${name} is not compared`);
  assert.ok(names.has("maskapi.polygon3") && names.has("maskapi.string3"));
});

Deno.test("checkCocoEval() notices a wrong figure, one that it does not know, and a wrong pixel", async () => {
  const file = await load();
  (file.tensors.get("set2.segm.out.stats")!.data as Float32Array)[11] += 1e-5;
  (file.tensors.get("maskapi.out.decode1")!.data as Uint8Array)[0] ^= 1;
  file.tensors.set("set1.bbox.out.more", file.tensors.get("set1.bbox.out.stats")!);
  const wrong = check(GOLDEN, file).filter(({ ok }) => !ok).map(({ tensor }) => tensor);
  assert.deepEqual(wrong, ["set1.bbox.out.more", "set2.segm.out.stats", "maskapi.out.decode1"]);
});

Deno.test("checkCocoEval() needs the files that its figures are of", async () => {
  await using folder = await temporaryFolder();
  const file = await load();
  assert.throws(() => check(folder.path, file), {
    message: `Cannot read ${folder.path}/coco_eval/set1_gt.json: no such file`,
  });
});
