import assert from "node:assert/strict";
import { type Mask, tubeMask } from "../../../data/mask.ts";
import { grad } from "../../../src/grad.ts";
import { constant, initializer } from "../../../src/init.ts";
import { type Autoencoder, autoencoder } from "../../../src/models/autoencoder.ts";
import type { ClipSettings } from "../../../src/models/clips.ts";
import type { MaskedImages } from "../../../src/models/decoder.ts";
import {
  initVideoMae,
  type VideoMaeParams,
  type VideoMaeSettings,
} from "../../../src/models/videomae.ts";
import type { VideoMcmaeSettings } from "../../../src/models/videomcmae.ts";
import type { Params } from "../../../src/optim.ts";
import { readAll } from "../../../src/plan/read.ts";
import { key, split } from "../../../src/random.ts";
import { type Tensor, tensor } from "../../../src/tensor.ts";
import { entries, map } from "../../../src/tree.ts";
import { close, random, toTensor, withoutBroadcast } from "../../check_op.ts";

const shared: ClipSettings = {
  ...{ imageSize: [16, 24], channels: 3, frames: 4, tubelet: 2, heads: 2 },
  ...{ decoderDim: 12, decoderDepth: 1, decoderHeads: 2, normPix: true },
  ...{ masking: "tube", mean: [0.5, 0.4, 0.3], std: [0.2, 0.25, 0.3] },
};
const tiny: VideoMaeSettings = {
  ...shared,
  kind: "videomae",
  ...{ patchSize: 8, embedDim: 16, depth: 2, mlpRatio: 2, initValues: 0 },
};
const convolutional: VideoMcmaeSettings = {
  ...shared,
  kind: "videomcmae",
  ...{ patchSizes: [2, 2, 2], embedDims: [8, 8, 16] },
  ...{ depths: [1, 1, 1], mlpRatios: [2, 2, 2], kernelSize: 3, temporalKernel: 3 },
  ...{ maskedConvolution: true, multiScaleDecoder: true, evaluation: "visible" },
  decoderMlpRatio: 4,
};
const mask = tubeMask(split(key(2), 2), { slots: 2, cells: 6 }, 0.5);

function batchOf({ keep, restore, removed, visible }: Mask): MaskedImages {
  return {
    images: toTensor(random([2, 4, 16, 24, 3], 97)),
    keep: tensor(keep, [2, visible]),
    restore: tensor(restore, [2, 12]),
    removed: tensor(removed, [2, 12]),
  };
}

/** Loss and gradients, by path. */
async function lossOf(
  settings: VideoMaeSettings | VideoMcmaeSettings,
  params: Params,
  mask: Mask,
): Promise<Map<string, Float32Array>> {
  const model = autoencoder(settings) as Autoencoder<never> as Autoencoder<Params>;
  const batch = batchOf(mask);
  const predicted = model.decode(params, model.encode(params, batch), batch);
  assert.deepEqual(predicted.shape, [2, 12, 2 * 8 * 8 * 3]);
  const loss = model.loss(predicted, batch);
  const results = entries<Tensor>({ loss, slopes: grad(loss, params) });
  const values = await readAll(await withoutBroadcast(), results.map(([, x]) => x));
  return new Map(results.map(([path], i) => [path, values[i] as Float32Array]));
}

/** The same tokens removed, visible ones in the order of the clip, as VideoMAE has them. */
function inOrder({ keep, restore, removed, visible }: Mask): Mask {
  const sorted = keep.slice();
  const places = restore.slice();
  for (let sample = 0; sample < 2; sample++) {
    const own = sorted.subarray(sample * visible, (sample + 1) * visible).sort();
    own.forEach((token, place) => places[sample * 12 + token] = place);
  }
  return { keep: sorted, restore: places, removed, visible };
}

Deno.test("autoencoder() of clips knows their tokens, and every parameter takes part in the loss", async (t) => {
  for (const settings of [tiny, convolutional]) {
    await t.step(settings.kind, async () => {
      const model = autoencoder(settings);
      assert.deepEqual([model.grid, model.tokens, model.masked, model.patch], [
        [2, 2, 3],
        ...[12, 12, 8],
      ]);
      for (const [path, values] of await lossOf(settings, model.init(key(1)), mask)) {
        assert.ok(values.every(Number.isFinite), `${path} is not finite`);
        assert.ok(values.some((value) => value !== 0), `${path} is all zeros`);
      }
    });
  }
});

Deno.test("The order of visible tokens does not matter to a clip's loss and gradients", async (t) => {
  for (const settings of [tiny, convolutional]) {
    await t.step(settings.kind, async () => {
      const params = autoencoder(settings).init(key(1));
      const shuffled = await lossOf(settings, params, mask);
      assert.notDeepEqual(inOrder(mask).keep, mask.keep);
      for (const [path, values] of await lossOf(settings, params, inOrder(mask))) {
        close(values, shuffled.get(path)!, 1e-5, path);
      }
    });
  }
});

Deno.test("initVideoMae() has the published names, without biases of keys", () => {
  const params = initVideoMae({ ...tiny, depth: 1, initValues: 0.1 }, initializer(key(1)));
  const shapes = new Map(entries<Tensor>(params).map(([path, { shape }]) => [path, shape]));
  const block = (name: string) =>
    [
      ...["gamma_1", "gamma_2", "norm1.weight", "norm1.bias", "attn.q_bias", "attn.v_bias"],
      ...["attn.qkv.weight", "attn.proj.weight", "attn.proj.bias", "norm2.weight", "norm2.bias"],
      ...["mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias"],
    ].map((leaf) => `${name}.blocks.0.${leaf}`);
  assert.deepEqual([...shapes.keys()], [
    ...["mask_token", "encoder.patch_embed.proj.weight", "encoder.patch_embed.proj.bias"],
    ...block("encoder"),
    ...["encoder.norm.weight", "encoder.norm.bias", ...block("decoder")],
    ...["decoder.norm.weight", "decoder.norm.bias", "decoder.head.weight", "decoder.head.bias"],
    "encoder_to_decoder.weight",
  ]);
  assert.deepEqual(shapes.get("encoder.patch_embed.proj.weight"), [16, 3, 2, 8, 8]);
  assert.deepEqual(shapes.get("decoder.head.weight"), [2 * 8 * 8 * 3, 12]);
});

Deno.test("Layer scale multiplies the branches of VideoMAE's blocks", async () => {
  const plain = initVideoMae(tiny, initializer(key(1)));
  const withScale = (first: number, second: number): VideoMaeParams => {
    const blocks = (list: VideoMaeParams["encoder"]["blocks"]) =>
      list.map((block) => {
        const { shape } = block.norm1.weight;
        return { ...block, gamma_1: constant(shape, first), gamma_2: constant(shape, second) };
      });
    const { encoder, decoder } = plain;
    return {
      ...plain,
      encoder: { ...encoder, blocks: blocks(encoder.blocks) },
      decoder: { ...decoder, blocks: blocks(decoder.blocks) },
    };
  };
  const loss = async (params: VideoMaeParams) => (await lossOf(tiny, params, mask)).get("loss")!;
  const expected = await loss(plain);
  close(await loss(withScale(1, 1)), expected, 1e-6);
  // A scale is a factor on the layer that ends its branch.
  const halved = map<Tensor, Tensor, VideoMaeParams>(plain, (x, path) => {
    const factor = /blocks\.\d\.attn\.proj/.test(path) ? 0.5 : /mlp\.fc2/.test(path) ? 0.25 : 1;
    return tensor((x.source as { data: Float32Array }).data.map((y) => factor * y), x.shape);
  });
  close(await loss(withScale(0.5, 0.25)), await loss(halved), 1e-6);
});
