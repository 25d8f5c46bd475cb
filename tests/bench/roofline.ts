/**
 * Steps that are too much to run here: what they would take at the ceilings of this run. And what
 * visible-only stages save, in arithmetic and at the ceilings, to be compared with measured steps.
 *
 * @module
 */
import { blankTask } from "../../pipelines/blank_task.ts";
import { override } from "../../pipelines/recipe.ts";
import { findPretrainRecipe } from "../../pipelines/recipes/mod.ts";
import { stepCosts } from "../../pipelines/step_plan.ts";
import { totalOf } from "../../src/plan/cost.ts";
import type { Device } from "../../src/device.ts";
import { type Ceilings, type Line, roofline } from "./measure.ts";

const CASES = [
  { name: "roofline-base", recipe: "mcmae_base", micro: 1 }, // as `step-base` runs it
  { name: "roofline-base-64", recipe: "mcmae_base", micro: 64 },
  { name: "roofline-large-32", recipe: "mcmae_large", micro: 32 },
  { name: "roofline-video-base-8", recipe: "videomcmae_base_k400", micro: 8 },
];

/** A line a step, planned for this adapter; `ms` is the least that its launches can take. */
export async function* rooflines(device: Device, ceilings: Ceilings): AsyncGenerator<Line> {
  for (const { name, recipe, micro } of CASES) {
    const plan = async (evaluation: "visible" | "dense") => {
      const fields = [`batch.micro=${micro}`, `model.evaluation=${evaluation}`];
      const task = blankTask(override(findPretrainRecipe(recipe), fields), 1);
      const costs = await stepCosts(device, task);
      const { flops, bytes } = totalOf(costs);
      return { ms: roofline(costs, ceilings), gflop: flops / 1e9, gbytes: bytes / 1e9 };
    };
    const [visible, dense] = [await plan("visible"), await plan("dense")];
    yield {
      ...{ case: name, ms: visible.ms, batch: micro },
      ...{ gflop: visible.gflop, gbytes: visible.gbytes },
      ...{ dense_gflop: dense.gflop, dense_gbytes: dense.gbytes, dense_ms: dense.ms },
      times_less_flop: dense.gflop / visible.gflop,
      times_as_fast: dense.ms / visible.ms,
    };
  }
}
