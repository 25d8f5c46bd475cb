import assert from "node:assert/strict";
import { toSafetensors } from "../../src/checkpoint.ts";
import { initializer } from "../../src/init.ts";
import { autoencoder } from "../../src/models/autoencoder.ts";
import { type ClassifierSettings, initClassifier } from "../../src/models/classifier.ts";
import { clipPositions } from "../../src/models/clips.ts";
import type { VideoEncoderSettings } from "../../src/models/encoder.ts";
import type { VideoMaeParams } from "../../src/models/videomae.ts";
import type { McmaeStages } from "../../src/models/mcmae_stages.ts";
import { describeMatch } from "../../src/match_weights.ts";
import {
  inspectPretrained,
  loadClassifier,
  loadPretrained,
  loadPretrainedVideo,
} from "../../src/pretrained.ts";
import { key } from "../../src/random.ts";
import { writeSafetensors } from "../../src/safetensors.ts";
import type { Tensor } from "../../src/tensor.ts";
import { entries } from "../../src/tree.ts";
import {
  VIDEO_MAE,
  VIDEO_MCMAE,
  writeVideoAutoencoder,
  writeVideoClassifier,
} from "../pipelines/video/tiny_video_models.ts";
import { writeAutoencoder } from "../pipelines/tiny_models.ts";

const scratch = Deno.makeTempDirSync();
globalThis.addEventListener("unload", () => Deno.removeSync(scratch, { recursive: true }));
const [MCMAE, MAE] = [`${scratch}/mcmae.safetensors`, `${scratch}/mae.safetensors`];
await writeVideoAutoencoder(MCMAE);
await writeVideoAutoencoder(MAE, VIDEO_MAE);

const valuesOf = ({ source }: Tensor) => (source as { data: Float32Array }).data;

const classifierOf = (encoder: VideoEncoderSettings): ClassifierSettings<VideoEncoderSettings> => ({
  ...{ encoder, classes: 3, pooling: "mean", dropPath: 0 },
});

Deno.test("loadPretrainedVideo() gives every parameter of a file, and its settings", async () => {
  for (const [path, settings] of [[MCMAE, VIDEO_MCMAE], [MAE, VIDEO_MAE]] as const) {
    const loaded = await loadPretrainedVideo(path);
    assert.deepEqual(loaded.settings, settings);
    const expected = autoencoder(settings).init(key(7));
    const found = new Map(entries<Tensor>(loaded.params));
    for (const [name, tensor] of entries<Tensor>(expected)) {
      assert.deepEqual(valuesOf(found.get(name)!), valuesOf(tensor), name);
    }
    const inspected = await inspectPretrained(path);
    assert.deepEqual(inspected.settings, settings);
  }
});

Deno.test("loadClassifier() takes VideoMAE's encoder without its prefix", async () => {
  const settings = classifierOf(VIDEO_MAE);
  const initial = initClassifier(settings, initializer(key(1)));
  const { params, loaded, missing } = await loadClassifier(MAE, settings, initial);
  assert.deepEqual(missing.map(({ name }) => name.split(".")[0]), [
    ...["fc_norm", "fc_norm", "head", "head"],
  ]);
  assert.ok(loaded.includes("blocks.1.attn.q_bias"));
  const { params: pretrained } = await loadPretrainedVideo(MAE);
  const [own, given] = [params, (pretrained as unknown as VideoMaeParams).encoder]
    .map((tree) => (tree as VideoMaeParams["encoder"]).blocks[1].attn.qkv.weight);
  assert.deepEqual(valuesOf(own), valuesOf(given));
});

Deno.test("loadPretrainedVideo() computes the table of positions anew for another size", async () => {
  const path = `${scratch}/head.safetensors`;
  await writeVideoClassifier(path, 3);
  for (const [loading, L] of [[{ frames: 8 }, 64], [{ imageSize: [40, 48] }, 60]] as const) {
    const { params, match, settings } = await loadPretrainedVideo(path, loading);
    const { pos_embed } = params as unknown as McmaeStages;
    assert.deepEqual(pos_embed.shape, [1, L, 16]);
    assert.deepEqual(valuesOf(pos_embed), valuesOf(clipPositions(L, 16)));
    assert.match(
      describeMatch(match),
      new RegExp(`\\nComputed anew: pos_embed \\[1,32,16\\] → \\[1,${L},16\\]`),
    );
    const initial = initClassifier(classifierOf(settings), initializer(key(1)));
    const again = await loadClassifier(path, classifierOf(settings), initial);
    assert.deepEqual(again.reshaped, match.reshaped);
  }
});

Deno.test("models of clips and of images are told apart", async () => {
  const images = `${scratch}/images.safetensors`;
  await writeAutoencoder(images);
  await assert.rejects(loadPretrainedVideo(images), {
    name: "CheckpointError",
    message: `Cannot use ${images}: it is a model of images, not of clips`,
  });
  await assert.rejects(loadPretrained(MCMAE), {
    name: "CheckpointError",
    message: `Cannot use ${MCMAE}: it is a model of clips, not of images`,
  });
  const half = `${scratch}/half.safetensors`;
  const { params } = await loadPretrainedVideo(MCMAE);
  await writeSafetensors(
    half,
    toSafetensors(params).filter(([name]) => name !== "blocks1.0.attn.bias"),
    { model: JSON.stringify(VIDEO_MCMAE) },
  );
  await assert.rejects(
    loadPretrainedVideo(half),
    /half.safetensors: it is no whole model: .*Not in the file: blocks1.0.attn.bias/,
  );
});
