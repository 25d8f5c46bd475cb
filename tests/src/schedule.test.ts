import assert from "node:assert/strict";
import { checkLrSchedule } from "../../pipelines/parity/tables.ts";
import { loadSafetensors } from "../../src/safetensors.ts";
import {
  cosineWithWarmup,
  scaledRate,
  warmupCosine,
  warmupCosineSteps,
  warmupPoly,
} from "../../src/schedule.ts";

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

Deno.test("warmupPoly() is mmsegmentation's poly with linear warm-up", () => {
  const near = (found: number, expected: number) =>
    assert.ok(Math.abs(found - expected) <= 1e-10 * expected, `${found}, not ${expected}`);
  // Of the published ADE20K run.
  const ade = { lr: 1e-4, minLr: 0, power: 1, warmupSteps: 1500, steps: 160_000 };
  near(warmupPoly(ade, 0), 1e-10); // warmup_ratio 1e-6
  near(warmupPoly(ade, 750), 1e-4 * (159_250 / 160_000) * 0.5000005);
  near(warmupPoly(ade, 1499), 1e-4 * (158_501 / 160_000) * (1 - 1 / 1500 * 0.999999));
  near(warmupPoly(ade, 1500), 9.90625e-5);
  near(warmupPoly(ade, 80_000), 5e-5);
  near(warmupPoly(ade, 159_999), 6.25e-10);
  const other = { lr: 1e-2, minLr: 1e-4, power: 0.9, warmupSteps: 0, steps: 8 };
  near(warmupPoly(other, 0), 1e-2);
  near(warmupPoly(other, 6), 9.9e-3 * 0.25 ** 0.9 + 1e-4);
  assert.equal(warmupPoly(other, 8), 1e-4);
  assert.equal(warmupPoly(other, 9), 1e-4); // beyond the end the rate stays
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

Deno.test("cosineWithWarmup() is detectron2's: a cosine whose beginning is a line", () => {
  const near = (a: number, b: number) => assert.ok(Math.abs(a - b) <= 1e-12 * b, `${a} ≠ ${b}`);
  const coco = { lr: 8e-5, minLr: 0, warmupSteps: 100, steps: 1000 };
  near(cosineWithWarmup(coco, 0), 8e-8);
  const end = 4e-5 * (1 + Math.cos(Math.PI * 0.1));
  near(cosineWithWarmup(coco, 100), end);
  near(cosineWithWarmup(coco, 50), (8e-8 + end) / 2);
  near(cosineWithWarmup(coco, 500), 4e-5);
  near(cosineWithWarmup({ ...coco, minLr: 1e-6 }, 1000), 1e-6);
});
