import assert from "node:assert/strict";
import { initializer } from "../../../src/init.ts";
import {
  classifierFeatures,
  type ClassifierSettings,
  initClassifier,
  layerDecay,
  logitsOf,
  pathsOf,
} from "../../../src/models/classifier.ts";
import type { ClipSettings } from "../../../src/models/clips.ts";
import {
  encodeLayers,
  layerNames,
  type VideoEncoderSettings,
} from "../../../src/models/encoder.ts";
import { readAll } from "../../../src/plan/read.ts";
import { key, uniform } from "../../../src/random.ts";
import { type Tensor, tensor } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";
import { random, toTensor, withoutBroadcast } from "../../check_op.ts";

const shared: ClipSettings = {
  ...{ imageSize: [16, 16], channels: 3, frames: 4, tubelet: 2, heads: 2 },
  ...{ decoderDim: 8, decoderDepth: 1, decoderHeads: 2, normPix: true },
  ...{ masking: "tube", mean: [0.5, 0.4, 0.3], std: [0.2, 0.25, 0.3] },
};
const vit: VideoEncoderSettings = {
  ...shared,
  kind: "videomae",
  ...{ patchSize: 8, embedDim: 16, depth: 2, mlpRatio: 2, initValues: 0 },
};
const mcmae: VideoEncoderSettings = {
  ...shared,
  kind: "videomcmae",
  ...{ patchSizes: [2, 2, 2], embedDims: [8, 8, 16] },
  ...{ depths: [1, 1, 2], mlpRatios: [2, 2, 2], kernelSize: 3, temporalKernel: 3 },
  ...{ maskedConvolution: true, multiScaleDecoder: true, evaluation: "visible" },
  decoderMlpRatio: 4,
};
const clips = toTensor(random([3, 4, 16, 16, 3], 96));

for (const encoder of [mcmae, vit]) {
  const settings = (dropPath: number): ClassifierSettings<VideoEncoderSettings> => ({
    ...{ encoder, classes: 5, pooling: "mean", dropPath },
  });

  Deno.test(`initClassifier() of ${encoder.kind} has the encoder, fc_norm and head alone`, () => {
    const paths = entries<Tensor>(initClassifier(settings(0), initializer(key(0)))).map(([path]) =>
      path
    );
    const parts = new Set(paths.map((path) => path.split(".")[0]));
    const expected = encoder.kind === "videomae" ? ["patch_embed", "blocks"] : [
      ...["pos_embed", "patch_embed1", "patch_embed2", "patch_embed3", "patch_embed4"],
      ...["blocks1", "blocks2", "blocks3"],
    ];
    assert.deepEqual([...parts], [...expected, "fc_norm", "head"]);
  });

  Deno.test(`classifierFeatures() of ${encoder.kind} drops whole branches by their draws`, async () => {
    const params = initClassifier(settings(0), initializer(key(0)));
    const count = pathsOf(settings(0.9));
    assert.equal(count, encoder.kind === "videomae" ? 4 : 8);
    const draws = (draw: number) => tensor(new Float32Array(3 * count).fill(draw), [3, count]);
    const features = (rate: number, draws?: Tensor) =>
      classifierFeatures(params, settings(rate), clips, draws);
    const evaluated = features(0.9);
    assert.deepEqual(evaluated.shape, [3, 16]);
    assert.deepEqual(logitsOf(params, evaluated).shape, [3, 5]);
    const [kept, dropped, plain, without] = await readAll(await withoutBroadcast(), [
      features(0.9, draws(0.9999)),
      features(0.9, draws(0)),
      evaluated,
      features(0, tensor(uniform(key(2), 3 * count), [3, count])),
    ]);
    assert.deepEqual([...without], [...plain]); // at rate 0 draws do not count
    const differ = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Array.from(a).some((x, i) => Math.abs(x - b[i]) > 1e-3);
    assert.ok(differ(kept, dropped) && differ(kept, plain) && differ(dropped, plain));
  });

  Deno.test(`encodeLayers() of ${encoder.kind} gives the layers that it names`, () => {
    const params = initClassifier(settings(0), initializer(key(0)));
    const layers = encodeLayers(params, encoder, clips);
    assert.deepEqual(Object.keys(layers), layerNames(encoder));
    assert.deepEqual(Object.values(layers).at(-1)!.shape, [3, 8, 16]);
    if (encoder.kind === "videomcmae") {
      assert.deepEqual(layers["blocks1.0"].shape, [3, 2, 8, 8, 8]);
      assert.deepEqual(layers["blocks2.0"].shape, [3, 2, 4, 4, 8]);
    }
  });
}

Deno.test("layerDecay() of video models falls as that of image models", () => {
  const ofMcmae = layerDecay(mcmae, 0.5);
  assert.equal(ofMcmae("blocks2.0.attn.weight"), 0.5 ** 3);
  assert.equal(ofMcmae("blocks3.1.attn.qkv.weight"), 0.5);
  const ofVit = layerDecay(vit, 0.5);
  assert.equal(ofVit("patch_embed.proj.weight"), 0.5 ** 3);
  assert.equal(ofVit("blocks.0.attn.q_bias"), 0.5 ** 2);
  assert.equal(ofVit("head.weight"), 1);
});
