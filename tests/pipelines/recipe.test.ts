import assert from "node:assert/strict";
import {
  checkContinues,
  nearest,
  override,
  type Recipe,
  type RunSettings,
  UsageError,
  validate,
} from "../../pipelines/recipe.ts";
import { readRecipe } from "../../pipelines/run_folder.ts";
import { validateFinetune } from "../../pipelines/finetune_recipe.ts";
import { validateProbe } from "../../pipelines/probe_recipe.ts";
import {
  allRecipes,
  findRecipe,
  finetuneRecipes,
  probeRecipes,
  recipes,
} from "../../pipelines/recipes/mod.ts";
import { editDistance, recipeLines } from "../../pipelines/usage.ts";

// Pinned, so that the recipe may change.
const quickstart = override(findRecipe("quickstart"), [
  "model.imageSize=96,96",
  "model.patchSizes=4,2,2",
  "model.embedDims=32,64,128",
  "model.depths=1,1,4",
  "model.mlpRatios=4,4,4",
  "model.heads=4",
  "model.decoderDim=96",
  "model.decoderHeads=4",
  "batch.micro=16",
  "schedule.epochs=30",
  "schedule.warmupEpochs=3",
]);
const base = findRecipe("mcmae_base");

function assertUsage(action: () => unknown, message: string) {
  assert.throws(action, new UsageError(message));
}

/** The sentence with which these changes to a recipe are refused. */
function refused(assignments: string[], message: string, recipe: Recipe = quickstart) {
  assertUsage(() => validate(override(recipe, assignments)), message);
}

Deno.test("readRecipe() takes recipes of before a field was there as runs were then", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (const recipe of [quickstart, ...finetuneRecipes, ...probeRecipes]) {
      const { memory: _, ...earlier } = recipe as Recipe;
      await Deno.writeTextFile(`${folder}/recipe.json`, JSON.stringify(earlier));
      const read = await readRecipe(folder, (): RunSettings => recipe);
      assert.deepEqual(read, recipe);
      checkContinues(read, recipe);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  const blocks = override(quickstart, ["memory.recompute=blocks"]);
  checkContinues(quickstart, blocks); // a run may change it as it goes on
});

Deno.test("recipes are valid, plain data, and named once", () => {
  for (const recipe of recipes) {
    assert.deepEqual(JSON.parse(JSON.stringify(recipe)), recipe);
    validate(recipe.data.path === null ? override(recipe, ["data.path=images"]) : recipe);
  }
  assert.equal(new Set(recipes.map(({ name }) => name)).size, recipes.length);
  assert.deepEqual(recipes.map(({ name }) => name), [
    "quickstart",
    "fashion_mnist",
    "fashion_mnist_mae",
    "mcmae_small",
    "mcmae_base",
    "mcmae_base_star",
    "mcmae_large",
    "mcmae_huge",
    "mae_base",
  ]);
});

Deno.test("recipes of fine-tuning and probing are valid with any encoder, and named once", () => {
  const encoders = [findRecipe("mcmae_base").model, findRecipe("mae_base").model];
  for (const encoder of encoders) {
    for (const preset of finetuneRecipes) {
      assert.deepEqual(JSON.parse(JSON.stringify(preset)), preset);
      const model = { ...encoder, ...preset.model };
      const recipe = { ...preset, pretrained: "file", model };
      validateFinetune(override(recipe, ["data.path=images"]));
    }
    for (const preset of probeRecipes) {
      assert.deepEqual(JSON.parse(JSON.stringify(preset)), preset);
      const model = { ...encoder, ...preset.model };
      const recipe = { ...preset, pretrained: "file", model };
      validateProbe(override(recipe, ["data.path=images"]));
    }
  }
  const all = [...recipes, ...finetuneRecipes, ...probeRecipes].map(({ name }) => name);
  assert.equal(new Set(all).size, all.length);
});

Deno.test("recipes have the sizes of Table 7", async () => {
  const golden = JSON.parse(await Deno.readTextFile("tests/golden/mcmae_param_names.json"));
  const names = {
    S: "mcmae_small",
    B: "mcmae_base",
    "B*": "mcmae_base_star",
    L: "mcmae_large",
    H: "mcmae_huge",
  };
  for (const [size, name] of Object.entries(names)) {
    const { model } = findRecipe(name);
    assert.ok(model.kind === "mcmae");
    const { embed_dim, depth, mlp_ratio, num_heads } = golden.variants[size];
    assert.deepEqual(model.embedDims, embed_dim);
    assert.deepEqual(model.depths, depth);
    assert.deepEqual(model.mlpRatios, mlp_ratio);
    assert.equal(model.heads, num_heads);
  }
});

Deno.test("override() changes any field and leaves the recipe as it was", () => {
  const before = structuredClone(quickstart);
  const changed = override(quickstart, [
    "batch.micro=2",
    "optimizer.blr=1e-4",
    "optimizer.clipNorm=0.5",
    "schedule.steps=3",
    "model.patchSizes=[4,2,1]",
    "model.depths=1, 2, 3",
    "model.masking=token",
    "model.normPix=false",
    "data.path=a=b",
    "data.mean=0.5",
    "batch.micro=4",
  ]);
  assert.deepEqual(quickstart, before);
  assert.deepEqual(changed, {
    ...before,
    batch: { micro: 4, effective: 4 },
    optimizer: { ...before.optimizer, blr: 1e-4, clipNorm: 0.5 },
    schedule: { ...before.schedule, steps: 3 },
    model: {
      ...before.model,
      patchSizes: [4, 2, 1],
      depths: [1, 2, 3],
      masking: "token",
      normPix: false,
    },
    data: { ...before.data, path: "a=b", mean: [0.5] },
  });
  const batch = { micro: 4, effective: 32 };
  assert.deepEqual(override(changed, ["batch.effective=32", "batch.micro=4"]).batch, batch);
  assert.equal(override(changed, ["optimizer.clipNorm=null"]).optimizer.clipNorm, null);
  assert.equal(override(changed, ["data.path=null"]).data.path, null);
});

Deno.test("override() names the nearest field", () => {
  const unknown = (path: string, message: string) =>
    assertUsage(() => override(quickstart, [`${path}=2`]), message);
  unknown("batch.mirco", "Unknown recipe field batch.mirco: did you mean batch.micro?");
  unknown("micro", "Unknown recipe field micro: did you mean batch.micro?");
  unknown("maskratio", "Unknown recipe field maskratio: did you mean maskRatio?");
  unknown("qqqqqqqq", "Unknown recipe field qqqqqqqq");
  unknown("constructor", "Unknown recipe field constructor");
  unknown(
    "model.patchSize",
    "Unknown recipe field model.patchSize: did you mean model.patchSizes?",
  );
  unknown("batch", "Recipe field batch is a group: set one of batch.micro, batch.effective");
  unknown("model.kind", "Recipe field model.kind is fixed: choose another recipe instead");
  assertUsage(() => override(quickstart, ["--fast"]), "Expected field.path=value, got --fast");
});

Deno.test("override() names the expected type and the value found", () => {
  const mistyped = (path: string, value: string, expected: string) =>
    assertUsage(
      () => override(quickstart, [`${path}=${value}`]),
      `Recipe field ${path} expects ${expected}, got ${value || "nothing"}`,
    );
  mistyped("batch.micro", "two", "a number");
  mistyped("batch.micro", "", "a number");
  mistyped("batch.micro", "1,2", "a number");
  mistyped("optimizer.blr", "Infinity", "a number");
  mistyped("schedule.steps", "all", "a number or null");
  mistyped("model.normPix", "1", "true or false");
  mistyped("model.masking", "random", "one of block, token");
  mistyped("model.imageSize", "224", "2 numbers such as 96,96");
  mistyped("model.depths", "1,x,3", "3 numbers such as 1,1,4");
  mistyped("data.mean", "[]", "3 numbers such as 0.485,0.456,0.406");
  mistyped("data.path", "", "text or null");
});

Deno.test("validate() names the stride and the sizes that it divides", () => {
  refused(
    ["model.imageSize=96,100"],
    "Recipe field model.imageSize has 100, which the stride 16 (patch sizes 4 × 2 × 2) does not " +
      "divide: the nearest sizes that work are 96 and 112",
  );
  refused(
    ["model.imageSize=8,16"],
    "Recipe field model.imageSize has 8, which the stride 16 (patch sizes 4 × 2 × 2) does not " +
      "divide: the nearest size that works is 16",
  );
  refused(
    ["model.imageSize=30,28"],
    "Recipe field model.imageSize has 30, which the stride 4 (patch sizes 2 × 2 × 1) does not " +
      "divide: the nearest sizes that work are 28 and 32",
    findRecipe("fashion_mnist"),
  );
  validate(override(quickstart, ["model.imageSize=96,128"]));
});

Deno.test("validate() refuses values that cannot work, in one sentence", () => {
  const must = (assignment: string, expected: string) => {
    const [field, value] = assignment.split("=");
    refused([assignment], `Recipe field ${field} must be ${expected}, got ${value}`);
  };
  must("batch.micro=0", "a positive integer");
  must("batch.micro=1.5", "a positive integer");
  must("batch.effective=24", "a multiple of batch.micro = 16");
  must("model.heads=3", "a divisor of the width 128 in model.embedDims");
  must("model.decoderHeads=5", "a divisor of the width 96 in model.decoderDim");
  must("model.decoderDim=-4", "a positive integer");
  must("model.kernelSize=4", "a positive odd integer");
  must("maskRatio=1", "between 0 and 1");
  must("maskRatio=0", "between 0 and 1");
  must("optimizer.clipNorm=0", "positive or null");
  must("optimizer.betas=0.9,1", "in 0–1, without 1");
  must("schedule.warmupEpochs=30", "0 or more and below 30 epochs");
  must("data.crop.scale=0.5,0.2", "two shares of the area in 0–1, the smaller first");
  must("data.std=1,0,1", "positive");
  must("data.mean=0.5", "one number for each of the 3 channels");
  must("checkpoint.every=0", "a positive integer");
  must("seed=-1", "an integer from 0 up");
});

Deno.test("validate() refuses fields that contradict each other", () => {
  refused(
    ["model.decoderDim=6", "model.decoderHeads=3"],
    "Recipe field model.decoderDim must be a multiple of 4, got 6",
  );
  refused(
    ["model.imageSize=16,32"],
    "Recipe field maskRatio = 0.75 keeps 0 of 2 tokens: use a larger model.imageSize or another ratio",
  );
  refused(
    [],
    "Recipe field data.path is needed: add --data DIR",
    base,
  );
});

Deno.test("findRecipe() names the nearest recipe, or all", () => {
  assert.equal(findRecipe("mae_base").model.kind, "mae");
  assertUsage(
    () => findRecipe("mcmea_base"),
    "Unknown recipe mcmea_base: did you mean mcmae_base?",
  );
  assert.throws(
    () => findRecipe("xyz"),
    /^UsageError: Unknown recipe xyz: choose from quickstart,/,
  );
});

Deno.test("nearest() picks the fewest edits and gives up on other words", () => {
  assert.equal(nearest("quikstart", ["mae_base", "quickstart"]), "quickstart");
  assert.equal(nearest("xyz", ["mae_base"]), undefined);
  assert.equal(nearest("", ["a"]), undefined);
});

Deno.test("editDistance() counts insertions, deletions and replacements", () => {
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("same", "same"), 0);
});

Deno.test("the list of recipes parts every name from what it follows", () => {
  const names = recipeLines(allRecipes).split("\n").map((line) => line.trim().split(/\s+/)[0]);
  assert.deepEqual(names, allRecipes.map(({ name }) => name));
});
