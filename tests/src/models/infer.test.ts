import assert from "node:assert/strict";
import { recipes } from "../../../pipelines/recipes/mod.ts";
import { CheckpointError } from "../../../src/checkpoint.ts";
import { inferSettings } from "../../../src/models/infer.ts";
import { initMae, type MaeSettings } from "../../../src/models/mae.ts";
import { initMcmae, type McmaeSettings } from "../../../src/models/mcmae.ts";
import { loadSafetensors } from "../../../src/safetensors.ts";
import type { Shape, Tensor } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";

type Shapes = Map<string, Shape>;

const settingsOf = (name: string) => recipes.find((recipe) => recipe.name === name)!.model;

/** Shapes of a model's parameters. */
function shapesOf(settings: McmaeSettings | MaeSettings): Shapes {
  const draw = (shape: Shape) => ({ shape, dtype: "f32" }) as Tensor; // MCMAE-H has gigabytes
  const initializer = { uniform: draw, normal: draw };
  const params = settings.kind === "mae"
    ? initMae(settings, initializer)
    : initMcmae(settings, initializer);
  return new Map(entries<Tensor>(params).map(([name, { shape }]) => [name, shape]));
}

/** Shapes of a golden file's parameters. */
async function goldenShapes(name: string): Promise<Shapes> {
  const { tensors } = await loadSafetensors(`tests/golden/${name}.safetensors`);
  const params = [...tensors].filter(([name]) => name.startsWith("param."));
  return new Map(params.map(([name, { shape }]) => [name.slice("param.".length), shape]));
}

const fails = (shapes: Shapes, hints: Parameters<typeof inferSettings>[1], message: string) =>
  assert.throws(() => inferSettings(shapes, hints), new CheckpointError(message));

Deno.test("inferSettings() finds every recipe's model in the shapes of its parameters", () => {
  for (const { name, model } of recipes) {
    const hints = name.startsWith("fashion_mnist")
      ? { heads: model.heads, decoderHeads: model.decoderHeads }
      : {};
    const metadata = { args: { norm_pix_loss: model.normPix } }; // no shape tells
    const inferred = inferSettings(shapesOf(model), { ...hints, metadata });
    assert.deepEqual(inferred, { settings: model, hasDecoder: true }, name);
  }
});

Deno.test("inferSettings() finds the published sizes by their published names and shapes", async () => {
  const { pretrain_B, finetune_B_global_pool, finetune_B_cls, variants } = JSON.parse(
    await Deno.readTextFile("tests/golden/mcmae_param_names.json"),
  );
  const published = (record: Record<string, number[]>): Shapes => new Map(Object.entries(record));
  const pretrained = published(pretrain_B.state_dict);
  assert.deepEqual(inferSettings(pretrained), {
    settings: settingsOf("mcmae_base"),
    hasDecoder: true,
  });
  const finetuned = published(finetune_B_global_pool.state_dict);
  const base = { ...settingsOf("mcmae_base"), multiScaleDecoder: false };
  const classifier = { settings: base, hasDecoder: false, classes: 1000 };
  assert.deepEqual(inferSettings(finetuned), { ...classifier, pooling: "mean" });
  const { only_here, missing } = finetune_B_cls.differs;
  for (const name of missing) finetuned.delete(name);
  for (const name of only_here) finetuned.set(name, [768]);
  assert.deepEqual(inferSettings(finetuned), { ...classifier, pooling: "token" });

  const recipeOf = { S: "small", B: "base", "B*": "base_star", L: "large", H: "huge" };
  for (const [letter, size] of Object.entries(recipeOf)) {
    const { embed_dim, depth, mlp_ratio, num_heads } = variants[letter];
    const { settings } = inferSettings(resized(pretrained, embed_dim, depth, mlp_ratio));
    assert.deepEqual(settings, settingsOf(`mcmae_${size}`), letter);
    assert.equal(settings.heads, num_heads);
  }
});

/** The shapes of MCMAE-B brought to another size. */
function resized(shapes: Shapes, widths: number[], depths: number[], ratios: number[]): Shapes {
  const result: Shapes = new Map();
  for (const stage of [1, 2, 3]) {
    const [width, ratio] = [widths[stage - 1], ratios[stage - 1]];
    const [, channels, p, q] = shapes.get(`patch_embed${stage}.proj.weight`)!;
    const inputs = stage === 1 ? channels : widths[stage - 2];
    result.set(`patch_embed${stage}.proj.weight`, [width, inputs, p, q]);
    for (let i = 0; i < depths[stage - 1]; i++) {
      result.set(`blocks${stage}.${i}.norm1.weight`, [width]);
      result.set(`blocks${stage}.${i}.mlp.fc1.weight`, [width * ratio, width]);
      if (stage < 3) result.set(`blocks${stage}.${i}.attn.weight`, [width, 1, 5, 5]);
    }
  }
  const rest = [...shapes].filter(([name]) => /^(decoder|stage)/.test(name));
  result.set("pos_embed", [1, 196, widths[2]]);
  return new Map([...result, ...rest]);
}

Deno.test("inferSettings() finds golden models, given the heads", async () => {
  const mae = inferSettings(await goldenShapes("mae_vit"), { heads: 4, decoderHeads: 4 });
  assert.deepEqual(mae.settings, {
    kind: "mae",
    imageSize: [64, 64],
    channels: 3,
    normPix: true,
    patchSize: 16,
    embedDim: 32,
    depth: 2,
    mlpRatio: 4,
    heads: 4,
    decoderDim: 24,
    decoderDepth: 1,
    decoderHeads: 4,
  });
  const shapes = await goldenShapes("pretrain_mcmae_a");
  fails(shapes, {}, "the heads of its width 32 are not known: give model.heads=N");
  fails(shapes, { heads: 3 }, "3 heads do not divide its width of 32: give model.heads=N");
  fails(
    shapes,
    { heads: 4 },
    "the heads of its width 24 are not known: give model.decoderHeads=N",
  );
});

Deno.test("inferSettings() takes what a file says of itself, where its tensors agree", () => {
  const model: McmaeSettings = {
    ...settingsOf("quickstart") as McmaeSettings,
    imageSize: [80, 40],
    heads: 8,
    normPix: false,
    maskedConvolution: false,
  };
  const shapes = shapesOf(model);
  const said = (change = {}) => ({ metadata: { model: JSON.stringify({ ...model, ...change }) } });
  const mean = [0.5, 0.4, 0.3];
  const { metadata } = said();
  assert.deepEqual(inferSettings(shapes, { metadata: { ...metadata, mean: "[0.5,0.4,0.3]" } }), {
    settings: model,
    hasDecoder: true,
    mean,
  });
  fails(
    shapes,
    said({ depths: [1, 1, 5] }),
    "it says depths = 1,1,5, but its tensors are of 1,1,4",
  );
  fails(shapes, said({ kind: "mae" }), "it says kind = mae, but its tensors are of mcmae");
  fails(
    shapes,
    said({ imageSize: 40 }),
    "its 50 positions of 8 × 8 pixels are no image of equal sides: give model.imageSize=H,W",
  );
  // The published code keeps the command line.
  const args = { norm_pix_loss: false };
  assert.ok(!inferSettings(shapes, { imageSize: [80, 40], metadata: { args } }).settings.normPix);
});

Deno.test("inferSettings() says what no shape tells, and what is no such model", () => {
  const shapes = shapesOf({ ...settingsOf("quickstart") as McmaeSettings, imageSize: [80, 40] });
  const advice = "give model.imageSize=H,W";
  fails(shapes, {}, `its 50 positions of 8 × 8 pixels are no image of equal sides: ${advice}`);
  fails(
    shapes,
    { imageSize: [80, 80] },
    `its 50 positions of 8 × 8 pixels are no image of 80 × 80: ${advice}`,
  );
  assert.deepEqual(inferSettings(shapes, { imageSize: [40, 80] }).settings.imageSize, [40, 80]);
  fails(new Map(), {}, "it is no MCMAE and no MAE: it has no patch_embed.proj.weight");
  fails(
    new Map([["patch_embed1.proj.weight", [64, 48]]]),
    {},
    "its patch_embed1.proj.weight is [64,48], which has not 4 axes",
  );
  const clips: Shapes = new Map([["patch_embed1.proj.weight", [64, 3, 2, 4, 4]]]);
  fails(clips, {}, "it is a model of clips, not of images");
  shapes.delete("patch_embed2.proj.weight");
  fails(shapes, {}, "it is no MCMAE and no MAE: it has no patch_embed2.proj.weight");
});
