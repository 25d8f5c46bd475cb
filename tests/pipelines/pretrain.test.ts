import assert from "node:assert/strict";
import { trainingImages } from "../../pipelines/images.ts";
import { type MaskedBatch, pretrainTask, totalSteps } from "../../pipelines/pretrain.ts";
import { override } from "../../pipelines/recipe.ts";
import { findRecipe } from "../../pipelines/recipes/mod.ts";
import type { Tensor } from "../../src/tensor.ts";
import { drawings, TINY } from "./run_pretrain.ts";

const recipe = override(findRecipe("quickstart"), [...TINY, "model.masking=block"]);

/** Values of `samples` samples from a position on, in micro-batches of `micro`. */
async function samplesAt(start: number, samples: number, micro: number) {
  const data = { ...recipe.data, path: await drawings(8) } as const;
  const source = await trainingImages(data);
  const sized = { ...recipe, data, batch: { micro, effective: micro } };
  const values: Record<string, number[]> = { images: [], keep: [], restore: [], removed: [] };
  for await (const batch of pretrainTask(sized, source).batches(start)) {
    for (const [name, list] of Object.entries(values)) list.push(...hostValues(batch, name));
    if ((samples -= micro) <= 0) break;
  }
  return values;
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
  const source = { kind: "folder", files: Array(64).fill("a.jpg"), length: 64 } as const;
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
