import assert from "node:assert/strict";
import { blankTask } from "../../../pipelines/blank_task.ts";
import {
  detectorOf,
  type DetectRecipe,
  evaluationRuleOf,
} from "../../../pipelines/detect/recipe.ts";
import { override } from "../../../pipelines/recipe.ts";
import { maskRcnnCoco } from "../../../pipelines/recipes/detect.ts";
import { mcmaeBase } from "../../../pipelines/recipes/mcmae_base.ts";
import { planStep } from "../../../pipelines/step_plan.ts";
import type { Adapter } from "../../../src/device.ts";
import { detectThings, type MaskRcnnParams } from "../../../src/models/mask_rcnn.ts";
import type { McmaeSettings } from "../../../src/models/mcmae.ts";
import { BINDABLE } from "../../../src/ops/shape.ts";
import { traceFor } from "../../../src/plan/draft.ts";
import { bytesOf, type Tensor, zeros } from "../../../src/tensor.ts";

const preset = override(maskRcnnCoco, ["batch.micro=1", "batch.effective=1"]);
const recipe: DetectRecipe = {
  ...preset,
  pretrained: "",
  model: { ...mcmaeBase.model as McmaeSettings, ...preset.model },
};

for (const cpu of [false, true]) {
  const adapter: Adapter = {
    ...{ name: "an adapter", target: { cpu, broadcast: cpu } },
    limits: { bindingBytes: BINDABLE, bindings: 8, workgroups: 65535 },
  };

  Deno.test(`Mask R-CNN of the base size at 1024 × 1024 binds what every adapter does, on a ${cpu ? "C" : "G"}PU`, async () => {
    const task = blankTask(recipe, 80);
    const { largest } = await planStep(adapter, { ...task, recompute: true });
    assert.ok(largest.bytes > BINDABLE / 2, "so large that limits matter");

    const args = { params: task.params, images: zeros([1, 1024, 1024, 3]), filled: zeros([1, 2]) };
    const settings = detectorOf(recipe, 80);
    const { graph } = traceFor(adapter, ({ params, images, filled }) =>
      detectThings(
        params as unknown as MaskRcnnParams,
        settings,
        images as Tensor,
        filled as Tensor,
        evaluationRuleOf(recipe.sampling),
      ), args);
    assert.ok(Math.max(...graph.values.map(bytesOf)) > BINDABLE / 2);
  });
}
