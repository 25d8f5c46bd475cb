import assert from "node:assert/strict";
import { blankTask } from "../../../pipelines/blank_task.ts";
import type { DetectRecipe } from "../../../pipelines/detect/recipe.ts";
import { override } from "../../../pipelines/recipe.ts";
import { maskRcnnCoco } from "../../../pipelines/recipes/detect.ts";
import { mcmaeBase } from "../../../pipelines/recipes/mcmae_base.ts";
import { planStep } from "../../../pipelines/step_plan.ts";
import type { McmaeSettings } from "../../../src/models/mcmae.ts";
import { BINDABLE } from "../../../src/ops/shape.ts";

Deno.test("planStep() of the real recipe at 1024 × 1024 stays within what every adapter binds", async () => {
  const preset = override(maskRcnnCoco, ["batch.micro=1", "batch.effective=1"]);
  const recipe: DetectRecipe = {
    ...preset,
    pretrained: "",
    model: { ...mcmaeBase.model as McmaeSettings, ...preset.model },
  };
  for (const cpu of [false, true]) {
    const { largest, parameters } = await planStep({
      ...{ name: "an adapter", target: { cpu, broadcast: cpu } },
      limits: { bindingBytes: BINDABLE, bindings: 8, workgroups: 65535 },
    }, { ...blankTask(recipe, 80), recompute: true });
    assert.ok(largest.bytes <= BINDABLE, `${largest.name} takes ${largest.bytes} bytes`);
    assert.ok(parameters.trained > 104e6 && parameters.trained < 115e6, `${parameters.trained}`);
  }
});
