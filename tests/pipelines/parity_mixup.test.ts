import assert from "node:assert/strict";
import type { TensorCheck } from "../../pipelines/parity/check.ts";
import { checkMixupCutmix } from "../../pipelines/parity/mixup.ts";
import { openDevice } from "../../src/device.ts";
import { loadSafetensors, type Safetensors } from "../../src/safetensors.ts";

const DIR = new URL("../golden", import.meta.url).pathname;

async function wrongIn(file: Safetensors): Promise<string[]> {
  const device = await openDevice();
  const fixture = { dir: DIR, file, device: () => Promise.resolve(device) };
  const checks: TensorCheck[] = await Array.fromAsync(checkMixupCutmix(fixture));
  device.gpu.destroy();
  return checks.filter(({ ok }) => !ok).map(({ tensor }) => tensor);
}

Deno.test("checkMixupCutmix() sees another draw, box, size or loss", async () => {
  const { tensors, metadata } = await loadSafetensors(`${DIR}/mixup_cutmix.safetensors`);
  assert.deepEqual(await wrongIn({ tensors, metadata }), []);
  const changed = { ...metadata };
  const edit = <Value>(key: string, change: (value: Value) => void) => {
    const value = JSON.parse(metadata[key]);
    change(value);
    changed[key] = JSON.stringify(value);
  };
  edit<Record<string, { lam: number[]; use_cutmix: boolean[] }>>("runs", (runs) => {
    runs.pair_mixup.lam.reverse();
    runs.elem_cutmix.use_cutmix[2] = false;
  });
  edit<{ rows: number[][] }>("cutmix_bbox_table", ({ rows }) => rows[3][9] += 1e-9);
  edit<{ rows: number[][] }>("random_erasing", ({ rows }) => rows[5][4]++);
  const loss = "loss.out.label_smoothing_ce_0.1";
  (tensors.get(loss)!.data as Float32Array)[0] *= 1.00001;
  assert.deepEqual((await wrongIn({ tensors, metadata: changed })).sort(), [
    "cutmix_bbox_table",
    "elem_cutmix.out.images",
    "elem_cutmix.out.targets",
    loss,
    "pair_mixup.out.images",
    "pair_mixup.out.targets",
    "random_erasing",
  ]);
});
