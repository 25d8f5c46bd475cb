import assert from "node:assert/strict";
import { openImages } from "../../pipelines/images.ts";
import { type MaskedBatch, pretrainTask, totalSteps } from "../../pipelines/pretrain.ts";
import { override, UsageError } from "../../pipelines/recipe.ts";
import { findRecipe } from "../../pipelines/recipes/mod.ts";
import { prepare } from "../../pipelines/train.ts";
import { openDevice } from "../../src/device.ts";
import type { Tensor } from "../../src/tensor.ts";
import { entries } from "../../src/tree.ts";
import { drawings, TINY } from "./run_pretrain.ts";

const recipe = override(findRecipe("quickstart"), [...TINY, "model.masking=block"]);

/** Values of `samples` samples from a position on, in micro-batches of `micro`. */
async function samplesAt(start: number, samples: number, micro: number) {
  const data = { ...recipe.data, path: await drawings(8) } as const;
  const { train: source } = await openImages(data);
  const sized = { ...recipe, data, batch: { micro, effective: micro } };
  const values: Record<string, number[]> = { images: [], keep: [], restore: [], removed: [] };
  for await (const batch of pretrainTask(sized, source).batches(start)) {
    for (const [name, list] of Object.entries(values)) list.push(...hostValues(batch, name));
    if ((samples -= micro) <= 0) break;
  }
  return values;
}

function hostOf({ source }: Tensor): Float32Array {
  assert.ok(source.kind === "host");
  return source.data as Float32Array;
}

function hostValues(batch: MaskedBatch, name: string): Iterable<number> {
  const { source } = (batch as Record<string, Tensor>)[name];
  assert.ok(source.kind === "host");
  return source.data;
}

Deno.test("pretrainTask() gives each position its image and mask, however they are batched", async () => {
  const four = await samplesAt(0, 8, 4);
  assert.deepEqual(await samplesAt(0, 8, 2), four);
  const later = await samplesAt(4, 4, 2);
  for (const [name, values] of Object.entries(four)) {
    assert.deepEqual(later[name], values.slice(values.length / 2), name);
  }
  const masks = Array.from({ length: 8 }, (_, i) => four.removed.slice(16 * i, 16 * (i + 1)));
  assert.ok(masks.every((mask) => mask.reduce((sum, x) => sum + x) === 12));
  assert.ok(new Set(masks.map(String)).size > 1);
});

Deno.test("totalSteps() rounds up to whole epochs, unless steps are given", () => {
  const steps = (fields: string[]) => totalSteps(override(recipe, fields), 10);
  assert.equal(steps(["schedule.epochs=3"]), 8); // 30 images in fours
  assert.equal(steps(["schedule.epochs=3", "schedule.steps=5"]), 5);
});

Deno.test("pretrainTask() follows the epochs, and stretches the cosine only for more steps", () => {
  const source = { kind: "files", files: Array(64).fill("a.jpg"), length: 64 } as const;
  const rates = (steps: number) => {
    const schedule = { epochs: 4, warmupEpochs: 1, steps };
    const { rate } = pretrainTask(
      { ...recipe, schedule, batch: { micro: 4, effective: 4 } },
      source,
    );
    return Array.from({ length: steps }, (_, step) => rate(step));
  };
  const [half, whole, longer] = [rates(32), rates(64), rates(128)];
  assert.deepEqual(half, whole.slice(0, 32));
  for (const list of [whole, longer]) {
    const peak = list.indexOf(Math.max(...list));
    assert.equal(peak, 16); // the end of the warm-up
    const falling = list.slice(peak);
    assert.ok(falling.every((rate, i) => i === 0 || rate < falling[i - 1]));
    assert.ok(list.at(-1)! < 0.01 * list[peak]);
  }
});

Deno.test("optimizer.rates freezes and slows parameters by path, the first match first", async () => {
  const device = await openDevice();
  const { train: source } = await openImages({ path: await drawings(8) });
  const change = async (rates: string) => {
    // At its first step Adam moves every parameter by its rate, whatever the gradient.
    const fields = [`optimizer.rates=${rates}`, "optimizer.weightDecay=0", "schedule.steps=1"];
    const task = { ...pretrainTask(override(recipe, fields), source), rate: () => 1e-3 };
    const trainer = await prepare(device, task);
    await Array.fromAsync(trainer.run());
    const after = new Map(entries<Tensor>((await trainer.snapshot()).params));
    const moves = entries<Tensor>(task.params).map(([path, before]) => {
      const values = hostOf(after.get(path)!);
      const steps = [...hostOf(before)].map((value, i) => Math.abs(values[i] - value));
      return [path, Math.max(...steps)] as const;
    });
    return Object.fromEntries(moves);
  };
  const moved = await change("patch_embed1.*:0,patch_embed*:0.5,*.qkv.bias:0");
  for (const [path, by] of Object.entries(moved)) {
    const expected = /^patch_embed1\.|qkv\.bias$|pos_embed$/.test(path)
      ? 0
      : path.startsWith("patch_embed")
      ? 5e-4
      : 1e-3;
    assert.ok(Math.abs(by - expected) < 1e-5, `${path} moved by ${by}`);
  }
});

Deno.test("optimizer.rates names a pattern that matches nothing, and freezes not everything", async () => {
  const { train: source } = await openImages({ path: await drawings(8) });
  const refuses = (rates: string, message: string) =>
    assert.throws(
      () => pretrainTask(override(recipe, [`optimizer.rates=${rates}`]), source),
      (error: unknown) => error instanceof UsageError && error.message === message,
    );
  refuses(
    "blocks1.0.norm1.weigth:0",
    "Recipe field optimizer.rates: no parameter matches blocks1.0.norm1.weigth: " +
      "did you mean blocks1.0.norm1.weight?",
  );
  refuses("*:0", "Recipe field optimizer.rates freezes every parameter");
});
