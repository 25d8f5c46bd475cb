import assert from "node:assert/strict";
import { checkLrSchedule } from "../../pipelines/parity/tables.ts";
import { loadSafetensors } from "../../src/safetensors.ts";
import { scaledRate, warmupCosine, warmupCosineSteps } from "../../src/schedule.ts";

const schedule = { lr: 1e-3, minLr: 1e-5, warmupEpochs: 10, epochs: 110 };

Deno.test("warmupCosine() matches the published lr_sched", async () => {
  const file = await loadSafetensors("tests/golden/lr_schedule.safetensors");
  const checks = [...checkLrSchedule(file)];
  assert.equal(checks.length, 4 * 2 * 2 + 1);
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
});

Deno.test("warmupCosine() rises linearly from zero, then falls to minLr", () => {
  assert.equal(warmupCosine(schedule, 0), 0);
  assert.equal(warmupCosine(schedule, 5), 5e-4);
  assert.equal(warmupCosine(schedule, 10), 1e-3);
  assert.ok(Math.abs(warmupCosine(schedule, 60) - (1e-3 + 1e-5) / 2) < 1e-18);
  assert.equal(warmupCosine(schedule, 110), 1e-5);
});

Deno.test("warmupCosine() starts at lr without a warm-up", () => {
  assert.equal(warmupCosine({ ...schedule, warmupEpochs: 0 }, 0), 1e-3);
});

Deno.test("warmupCosineSteps() has the full rate twice, after the last step of the warm-up too", () => {
  const settings = { lr: 1e-3, minLr: 1e-5, startLr: 1e-6, warmupSteps: 3, steps: 7 };
  const rates = Array.from({ length: 7 }, (_, step) => warmupCosineSteps(settings, step));
  assert.deepEqual([rates[0], rates[2], rates[3]], [1e-6, 1e-3, 1e-3]);
  assert.ok(Math.abs(rates[1] - (1e-6 + 1e-3) / 2) < 1e-18);
  assert.ok(Math.abs(rates[5] - (1e-3 + 1e-5) / 2) < 1e-18);
  assert.ok(rates[6] > 1e-5); // it ends one step before the end of the cosine
  assert.equal(warmupCosineSteps({ ...settings, warmupSteps: 0 }, 0), 1e-3);
});

Deno.test("scaledRate() is blr at a batch of 256 and linear in the batch", () => {
  assert.equal(scaledRate(1.5e-4, 256), 1.5e-4);
  assert.equal(scaledRate(1.5e-4, 1024), 6e-4);
});

Deno.test("checkLrSchedule() reports a wrong rate", async () => {
  const file = await loadSafetensors("tests/golden/lr_schedule.safetensors");
  (file.tensors.get("cfg1.out.lr")!.data as Float32Array)[7] *= 1 + 1e-5;
  const wrong = [...checkLrSchedule(file)].filter(({ ok }) => !ok);
  assert.deepEqual(wrong.map(({ tensor }) => tensor), ["cfg1.out.lr"]);
});
