import assert from "node:assert/strict";
import { videoRecipes } from "../../../pipelines/recipes/video.ts";
import { modelOf } from "../../../pipelines/video/recipe.ts";
import { CheckpointError } from "../../../src/checkpoint.ts";
import type { VideoEncoderSettings } from "../../../src/models/encoder.ts";
import type { Hints } from "../../../src/models/infer.ts";
import { inferVideoSettings } from "../../../src/models/infer_video.ts";
import { initVideoMae, type VideoMaeSettings } from "../../../src/models/videomae.ts";
import { initVideoMcmae, type VideoMcmaeSettings } from "../../../src/models/videomcmae.ts";
import type { Shape, Tensor } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";

type Shapes = Map<string, Shape>;

const settingsOf = (name: string) => modelOf(videoRecipes.find((one) => one.name === name)!);

/** Shapes of a model's parameters. */
function shapesOf(settings: VideoEncoderSettings): Shapes {
  const draw = (shape: Shape) => ({ shape, dtype: "f32" }) as Tensor;
  const initializer = { uniform: draw, normal: draw };
  const params = settings.kind === "videomae"
    ? initVideoMae(settings, initializer)
    : initVideoMcmae(settings, initializer);
  return new Map(entries<Tensor>(params).map(([name, { shape }]) => [name, shape]));
}

const fails = (shapes: Shapes, hints: Hints, message: string) =>
  assert.throws(() => inferVideoSettings(shapes, hints), new CheckpointError(message));

Deno.test("inferVideoSettings() finds the published sizes in the shapes of their parameters", () => {
  for (const recipe of videoRecipes.filter(({ name }) => name !== "video_quickstart")) {
    const settings = modelOf(recipe);
    const found = inferVideoSettings(shapesOf(settings));
    assert.deepEqual(found, { settings, hasDecoder: true }, recipe.name);
  }
});

Deno.test("inferVideoSettings() finds VideoMAE after fine-tuning: no prefix, no decoder", () => {
  const settings = settingsOf("videomae_base_k400") as VideoMaeSettings;
  const shapes: Shapes = new Map([["head.weight", [400, 768]], ["fc_norm.weight", [768]]]);
  for (const [name, shape] of shapesOf(settings)) {
    if (/^encoder\.(blocks|patch_embed)/.test(name)) {
      shapes.set(name.slice("encoder.".length), shape);
    }
  }
  assert.deepEqual(inferVideoSettings(shapes), {
    ...{ settings, hasDecoder: false, classes: 400, pooling: "mean" },
  });
  shapes.set("blocks.0.gamma_1", [768]); // what it began with is not told, but that there is one
  const { settings: scaled } = inferVideoSettings(shapes, { frames: 32, imageSize: [112, 112] });
  assert.deepEqual(scaled, { ...settings, initValues: 0.1, frames: 32, imageSize: [112, 112] });
});

Deno.test("inferVideoSettings() takes what a file says of itself, where its tensors agree", () => {
  const model: VideoMcmaeSettings = {
    ...settingsOf("video_quickstart") as VideoMcmaeSettings,
    ...{ imageSize: [32, 80], frames: 8, heads: 8 },
    normPix: false,
    masking: "random",
    mean: [0.5, 0.4, 0.3],
  };
  const shapes = shapesOf(model);
  const said = (change = {}) => ({ metadata: { model: JSON.stringify({ ...model, ...change }) } });
  assert.deepEqual(inferVideoSettings(shapes, said()), { settings: model, hasDecoder: true });
  fails(
    shapes,
    said({ temporalKernel: 5 }),
    "it says temporalKernel = 5, but its tensors are of 3",
  );
  fails(
    shapes,
    said({ frames: 10 }),
    "its 160 positions of 2 × 8 × 8 pixels are no clip of 10 frames of 32 × 80: " +
      "give model.imageSize=H,W or model.frames=N",
  );
});

Deno.test("inferVideoSettings() says what no shape tells, and what is no such model", () => {
  const shapes = shapesOf({
    ...settingsOf("video_quickstart") as VideoMcmaeSettings,
    ...{ imageSize: [32, 80], frames: 8, heads: 1, decoderHeads: 1 },
  });
  fails(
    shapes,
    {},
    "its 160 positions of 2 × 8 × 8 pixels are no clip of 16 frames of equal sides: " +
      "give model.imageSize=H,W or model.frames=N",
  );
  const { frames } = inferVideoSettings(shapes, { frames: 8, imageSize: [80, 32] }).settings;
  assert.equal(frames, 8);
  fails(
    new Map([["patch_embed.proj.weight", [768, 3, 16, 16]]]),
    {},
    "it is a model of images, not of clips",
  );
  fails(
    new Map(),
    {},
    "it is no VideoMCMAE and no VideoMAE: it has no patch_embed.proj.weight",
  );
});
