import assert from "node:assert/strict";
import { checkRandAugment } from "../../pipelines/parity/rand_augment.ts";
import { loadSafetensors } from "../../src/safetensors.ts";

const GOLDEN = new URL("../golden/rand_augment.safetensors", import.meta.url).pathname;

Deno.test("checkRandAugment() finds every op equal to Pillow, to the bit", async () => {
  const checks = [...checkRandAugment(await loadSafetensors(GOLDEN))];
  assert.deepEqual(checks.filter(({ error }) => error !== 0), []);
  const names = new Set(checks.map(({ tensor }) => tensor));
  for (const name of ["Equalize.pos.out", "Rotate.neg.out_bilinear", "TranslateX.pos.argument"]) {
    assert.ok(names.has(name), `${name} is not compared`);
  }
});

Deno.test("checkRandAugment() sees wrong pixels, arguments and ops", async () => {
  const { tensors, metadata } = await loadSafetensors(GOLDEN);
  const change = (name: string, pixels: number, by: number) => {
    const data = tensors.get(name)!.data as Uint8Array;
    for (let i = 0; i < pixels; i++) data[3 * i] += data[3 * i] < 128 ? by : -by;
  };
  change("Invert.pos.out", 1, 1); // a table must be exact
  change("Color.pos.out", 9, 1); // a blend may be off by one
  change("Contrast.pos.out", 1, 2);
  change("ShearX.pos.out", 40, 3); // 1 % of 4096 pixels
  change("ShearX.neg.out", 41, 3);
  change("ShearY.pos.out", 4096, 2); // 2/3 on average
  const args = metadata.op_args.replace('"Posterize.pos": [3]', '"Posterize.pos": [3, 3]');
  const ops = metadata.op_list_inc1.replace("Increasing", "");
  const file = { tensors, metadata: { ...metadata, op_args: args, op_list_inc1: ops } };
  const wrong = [...checkRandAugment(file)].filter(({ ok }) => !ok).map(({ tensor }) => tensor);
  assert.deepEqual(wrong.sort(), [
    "Contrast.pos.out",
    "Invert.pos.out",
    "Posterize.pos.argument",
    "ShearX.neg.out",
    "ShearY.pos.out, mean",
    "op_list_inc1",
  ]);
});
