import assert from "node:assert/strict";
import { findRecipe } from "../../../pipelines/recipes/mod.ts";
import { initializer } from "../../../src/init.ts";
import {
  classifierDecays,
  classifierFeatures,
  type ClassifierSettings,
  initClassifier,
  layerDecay,
  pathsOf,
} from "../../../src/models/classifier.ts";
import {
  encodeLayers,
  type EncoderSettings,
  featuresOf,
  layerNames,
} from "../../../src/models/encoder.ts";
import { read, readAll } from "../../../src/plan/read.ts";
import { key, normal, uniform } from "../../../src/random.ts";
import { type Tensor, tensor, zeros } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";
import { sharedDevice } from "../../check_op.ts";

const mcmae = {
  ...findRecipe("quickstart").model,
  ...{ imageSize: [16, 16], patchSizes: [2, 2, 1], embedDims: [8, 8, 16], depths: [1, 1, 2] },
} as EncoderSettings;
const vit = {
  ...findRecipe("mae_base").model,
  ...{ imageSize: [16, 16], patchSize: 8, embedDim: 16, depth: 2, heads: 2 },
} as EncoderSettings;
const settings = (encoder: EncoderSettings, more: Partial<ClassifierSettings> = {}) => ({
  ...{ encoder, classes: 3, pooling: "mean" as const, dropPath: 0, ...more },
});
const images = tensor(normal(key(1), 4 * 16 * 16 * 3), [4, 16, 16, 3]);

Deno.test("layerDecay() follows the published lr_decay.py", () => {
  const decay = layerDecay(findRecipe("mcmae_base").model, 0.65);
  assert.equal(decay("pos_embed"), 0.65 ** 12);
  assert.equal(decay("patch_embed4.weight"), 0.65 ** 12);
  assert.equal(decay("blocks2.1.attn.weight"), 0.65 ** 12);
  assert.equal(decay("blocks3.0.attn.qkv.weight"), 0.65 ** 11);
  assert.equal(decay("blocks3.10.mlp.fc2.bias"), 0.65);
  assert.equal(decay("fc_norm.weight"), 1);
  assert.equal(decay("head.weight"), 1);
  const ofVit = layerDecay(findRecipe("mae_base").model, 0.5);
  assert.equal(ofVit("cls_token"), 0.5 ** 13);
  assert.equal(ofVit("blocks.11.norm1.weight"), 0.5);
});

Deno.test("classifierDecays() leaves out positions, tokens and what has one axis", () => {
  const decays = (path: string, shape: number[]) => classifierDecays(path, zeros(shape));
  assert.ok(decays("blocks1.0.attn.weight", [8, 1, 5, 5]) && decays("head.weight", [3, 8]));
  assert.ok(!decays("head.bias", [3]) && !decays("pos_embed", [1, 4, 8]));
  assert.ok(!decays("cls_token", [1, 1, 8]));
});

Deno.test("initClassifier() has the published names for either pooling", async () => {
  const golden = JSON.parse(await Deno.readTextFile("tests/golden/mcmae_param_names.json"));
  const published = Object.keys(
    golden.finetune_B_global_pool.state_dict,
  )
    .filter((name) => !/blocks\d\.[2-9]|blocks[12]\.1|blocks3\.1\d/.test(name));
  const params = initClassifier(settings(mcmae), initializer(key(0)));
  const names = entries<Tensor>(params).map(([path]) => path);
  assert.deepEqual(names.sort(), published.sort());
  const token = initClassifier(settings(mcmae, { pooling: "token" }), initializer(key(0)));
  assert.deepEqual([token.fc_norm, token.norm?.weight.shape], [undefined, [16]]);
});

for (const encoder of [mcmae, vit]) {
  Deno.test(`classifierFeatures() of ${encoder.kind} drops whole branches by their draws`, async () => {
    const classifier = settings(encoder, { dropPath: 0.9 });
    const params = initClassifier(classifier, initializer(key(0)));
    const count = pathsOf(classifier);
    const features = (draw: number | undefined) =>
      classifierFeatures(
        params,
        classifier,
        images,
        draw === undefined ? undefined : tensor(new Float32Array(4 * count).fill(draw), [4, count]),
      );
    const first = settings(encoder, { dropPath: 0 });
    const [kept, dropped, evaluated, without] = await readAll(await sharedDevice(), [
      features(0.9999),
      features(0),
      features(undefined),
      classifierFeatures(params, first, images, tensor(uniform(key(2), 4 * count), [4, count])),
    ]);
    assert.deepEqual([...without], [...evaluated]); // at rate 0 draws do not count
    const differ = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Array.from(a).some((x, i) => Math.abs(x - b[i]) > 1e-3);
    assert.ok(differ(kept, dropped) && differ(kept, evaluated) && differ(dropped, evaluated));
  });

  Deno.test(`featuresOf() of ${encoder.kind} are means of layers, and name what there is`, async () => {
    const params = initClassifier(settings(encoder), initializer(key(0)));
    const names = layerNames(encoder);
    const layers = encodeLayers(params, encoder, images);
    assert.deepEqual(Object.keys(layers), names);
    const last = names.at(-1)!;
    const found = featuresOf(params, encoder, images, ["e3", last]);
    assert.deepEqual(found.e3.shape, [4, 16]);
    const [pooled, own, tokens] = await readAll(await sharedDevice(), [
      found.e3,
      found[last],
      layers[last],
    ]);
    assert.deepEqual([...pooled], [...own]);
    const [, L, C] = layers[last].shape;
    const skip = encoder.kind === "mae" ? 1 : 0; // the class token does not count
    for (const c of [0, C - 1]) {
      let sum = 0;
      for (let t = skip; t < L; t++) sum += tokens[t * C + c];
      assert.ok(Math.abs(pooled[c] - sum / (L - skip)) < 1e-5);
    }
    assert.throws(
      () => featuresOf(params, encoder, images, ["blocks9"]),
      /^RangeError: The model has no feature blocks9: choose from global, e/,
    );
    const [norm] = [
      await read(await sharedDevice(), featuresOf(params, encoder, images, ["global"]).global),
    ];
    const mean = [...norm.subarray(0, C)].reduce((sum, x) => sum + x, 0) / C;
    assert.ok(Math.abs(mean) < 1e-5); // fc_norm begins without gain and bias
  });
}
