import assert from "node:assert/strict";
import { findClips } from "../../../data/clips/find.ts";
import { DataError } from "../../../data/dataset.ts";
import { makeResident } from "../../../pipelines/inference.ts";
import { maskKeys } from "../../../pipelines/pretrain.ts";
import { normaliseClips } from "../../../pipelines/video/clips.ts";
import { clipMask, videoAutoencoder, videoTask } from "../../../pipelines/video/pretrain.ts";
import { modelOf, type VideoRecipe } from "../../../pipelines/video/recipe.ts";
import { clipColumns, prepareClipReconstruction } from "../../../pipelines/video/reconstruction.ts";
import { prepareClipValidation } from "../../../pipelines/video/validation.ts";
import { evaluationClips, spreadOver } from "../../../pipelines/video/views.ts";
import { openDevice } from "../../../src/device.ts";
import { cubeTarget } from "../../../src/models/clips.ts";
import { read } from "../../../src/plan/read.ts";
import { tensor } from "../../../src/tensor.ts";
import { temporaryFolder } from "../../data/temporary_folder.ts";
import { clipsOf, tinyRecipe, writeClips } from "./tiny_clips.ts";

const device = await openDevice();

/** Two clips of noise around a level of their own, with the masks of a recipe. */
function noisyClips(recipe: VideoRecipe) {
  const { model: { frames, imageSize: [H, W] } } = recipe;
  const size = frames * H * W * 3;
  const bytes = Uint8Array.from({ length: 2 * size }, (_, i) => {
    const noise = Math.sin(12.9898 * i) * 43758.5453;
    return 60 + 90 * Math.floor(i / size) + 80 * (noise - Math.floor(noise));
  });
  const model = videoAutoencoder(recipe);
  const { removed } = clipMask(recipe, model, maskKeys({ ...recipe, batch: BATCH }, 2));
  const shape = [2, frames, H, W, 3];
  return { bytes, images: normaliseClips(bytes, recipe.data), removed, shape, model };
}

const BATCH = { micro: 2, effective: 2 };

for (const fields of [[], ["model.normPix=false"], ["model.masking=random", "maskRatio=0.6"]]) {
  const named = fields.length > 0 ? `, ${fields.join(" ")}` : "";
  Deno.test(`clipColumns() undoes the target and pastes visible pixels${named}`, async () => {
    const recipe = tinyRecipe(...fields);
    const { bytes, images, removed, shape, model } = noisyClips(recipe);
    const target = cubeTarget(tensor(images, shape), modelOf(recipe), model.patch);
    const predicted = await read(device, target) as Float32Array;
    const found = { images, predicted, removed, loss: 0, count: 2 };
    const { original, masked, reconstructed } = clipColumns(recipe, found);
    assert.deepEqual(original, bytes);
    const off = reconstructed.reduce((most, x, i) => Math.max(most, Math.abs(x - bytes[i])), 0);
    assert.ok(off <= 1, `the target gives pixels that are off by ${off}`);
    const blank = { ...found, predicted: new Float32Array(predicted.length) };
    const { reconstructed: made } = clipColumns(recipe, blank);
    let hidden = 0;
    for (let pixel = 0; pixel < bytes.length / 3; pixel++) {
      const at = 3 * pixel;
      const pixelOf = (column: Uint8Array) => [...column.subarray(at, at + 3)];
      const [was, is, then]: number[][] = [pixelOf(original), pixelOf(masked), pixelOf(made)];
      if (is.every((value) => value === 127)) hidden++;
      else assert.deepEqual([is, then], [was, was]);
    }
    const share = removed.reduce((sum, x) => sum + x, 0) / removed.length;
    assert.equal(hidden / (bytes.length / 3), share);
  });
}

Deno.test("clipColumns() hides a cell in all frames under tubes", () => {
  const recipe = tinyRecipe();
  const { images, removed, model } = noisyClips(recipe);
  const predicted = new Float32Array(images.length);
  const { masked } = clipColumns(recipe, { images, predicted, removed, loss: 0, count: 2 });
  const frame = 3 * 32 * 32;
  const hiddenAt = (t: number) => {
    const pixels = masked.subarray(t * frame, (t + 1) * frame);
    return Array.from(
      { length: 32 * 32 },
      (_, i) => pixels[3 * i] === 127 && pixels[3 * i + 1] === 127,
    );
  };
  for (let t = 1; t < 4; t++) assert.deepEqual(hiddenAt(t), hiddenAt(0));
  assert.equal(hiddenAt(0).filter(Boolean).length, 12 * 64); // 12 of 16 cells of 8 × 8
  assert.equal(model.tokens, 32);
});

Deno.test("spreadOver() goes through all places, first one of each part", () => {
  for (const [length, count] of [[10, 4], [7, 4], [3, 8], [768, 4], [5, 5], [1, 1]]) {
    const order = [...spreadOver(length, count)];
    const all = Array.from({ length }, (_, i) => i);
    assert.deepEqual(order.toSorted((a, b) => a - b), all);
    const parts = Math.min(length, count);
    order.slice(0, parts).forEach((place, part) => {
      assert.ok(place >= Math.floor(part * length / parts), `${order}`);
      assert.ok(place < Math.floor((part + 1) * length / parts), `${order}`);
    });
  }
});

Deno.test("evaluationClips() passes over bad files, tells them, and is the same every time", async () => {
  await using folder = await temporaryFolder();
  await writeClips(folder.path, ["0.mp4", "1_bad.mp4", "2.mp4", "3.webm"]);
  const source = await findClips(folder.path);
  const recipe = tinyRecipe();
  const bad = new Map<string, string>();
  const look = () => evaluationClips(recipe, source, 3, (name, why) => bad.set(name, why));
  const { clips, shape, names } = await look();
  assert.deepEqual(shape, [3, 4, 32, 32, 3]);
  assert.deepEqual(names.toSorted(), ["0.mp4", "2.mp4", "3.webm"]);
  assert.deepEqual([...bad.keys()], [`${folder.path}/1_bad.mp4`]);
  assert.match(bad.get(`${folder.path}/1_bad.mp4`)!, /1_bad\.mp4/);
  assert.deepEqual((await look()).clips, clips);
  const wide = await evaluationClips(tinyRecipe("model.imageSize=16,64"), source, 1);
  assert.deepEqual(wide.shape, [1, 4, 16, 64, 3]);
  await Deno.remove(`${folder.path}/0.mp4`);
  for (const name of ["2.mp4", "3.webm"]) await Deno.writeTextFile(`${folder.path}/${name}`, "bad");
  await assert.rejects(look(), DataError);
});

Deno.test("prepareClipReconstruction() and prepareClipValidation() repeat bit for bit", async () => {
  const source = await findClips(await clipsOf(6));
  const recipe = tinyRecipe();
  const { params, free } = makeResident(device, videoTask(recipe, source).params);
  const reconstructor = await prepareClipReconstruction(device, recipe, params, source, 3);
  const found = await reconstructor.run();
  assert.deepEqual(await reconstructor.run(), found);
  reconstructor.destroy();
  assert.equal(found.count, 3);
  assert.equal(found.predicted.length, 3 * 32 * 2 * 8 * 8 * 3);
  const validate = await prepareClipValidation(device, recipe, params, source);
  const { val_loss } = await validate();
  assert.deepEqual(await validate(), { val_loss });
  // Normalised cubes have a mean square of nearly one, which random predictions do not lower.
  for (const loss of [found.loss, val_loss]) assert.ok(loss > 0.8 && loss < 4, `${loss}`);
  free();
});
