import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { FROZEN } from "../../../src/models/decoder.ts";
import { type Initializer, initializer } from "../../../src/init.ts";
import { initMcmae, type McmaeSettings } from "../../../src/models/mcmae.ts";
import { key } from "../../../src/random.ts";
import { node, sizeOf, type Tensor } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";

/** Names, shapes and counts of the published code's modules. */
const published = JSON.parse(
  readFileSync(new URL("../../golden/mcmae_param_names.json", import.meta.url), "utf8"),
);

const base: McmaeSettings = {
  kind: "mcmae",
  imageSize: [224, 224],
  channels: 3,
  patchSizes: [4, 2, 2],
  embedDims: [256, 384, 768],
  depths: [2, 2, 11],
  mlpRatios: [4, 4, 4],
  heads: 12,
  kernelSize: 5,
  maskedConvolution: true,
  masking: "block",
  multiScaleDecoder: true,
  evaluation: "visible",
  decoderDim: 512,
  decoderDepth: 8,
  decoderHeads: 16,
  normPix: true,
};

/** Draws nothing but shapes: Huge takes 2.7 GiB. */
const shapesOnly: Initializer = {
  uniform: (shape) => node({ shape, dtype: "f32" }, { kind: "argument", index: 0 }),
  normal: (shape) => node({ shape, dtype: "f32" }, { kind: "argument", index: 0 }),
};

const inDecoder = (path: string) => path.startsWith("decoder_") || path === "mask_token";

Deno.test("initMcmae() gives Base the names, shapes and counts of the published checkpoint", () => {
  const parameters = entries<Tensor>(initMcmae(base, shapesOnly));
  const { state_dict, total, trainable, ...counts } = published.pretrain_B;
  const shapes = Object.fromEntries(parameters.map(([path, { shape }]) => [path, [...shape]]));
  assert.deepEqual(shapes, state_dict);
  const count = (wanted: (path: string) => boolean) =>
    parameters.filter(([path]) => wanted(path)).reduce((sum, [, x]) => sum + sizeOf(x.shape), 0);
  assert.equal(count(() => true), total);
  assert.equal(count((path) => !FROZEN.includes(path)), trainable);
  assert.equal(count(inDecoder), counts["decoder(+mask_token)"]);
  assert.equal(count((path) => /^stage\d_output_decode/.test(path)), counts.stage_output_decode);
});

Deno.test("initMcmae() gives every size the published number of encoder parameters", async (t) => {
  for (const [name, size] of Object.entries<Variant>(published.variants)) {
    const settings = {
      ...base,
      embedDims: size.embed_dim,
      mlpRatios: size.mlp_ratio,
      heads: size.num_heads,
      depths: size.depth,
    };
    await t.step(name, () => {
      const encoder = entries<Tensor>(initMcmae(settings, shapesOnly)).filter(([path]) =>
        !inDecoder(path)
      );
      const total = encoder.reduce((sum, [, { shape }]) => sum + sizeOf(shape), 0);
      assert.equal(total, size.encoder_with_stage_output_decode_no_head);
    });
  }
});

interface Variant {
  readonly embed_dim: McmaeSettings["embedDims"];
  readonly depth: McmaeSettings["depths"];
  readonly mlp_ratio: McmaeSettings["mlpRatios"];
  readonly num_heads: number;
  readonly encoder_with_stage_output_decode_no_head: number;
}

Deno.test("initMcmae() leaves the multi-scale decoder out on demand, and no other parameter", () => {
  const small = { ...base, embedDims: [8, 8, 16], depths: [1, 1, 1], decoderDepth: 1 } as const;
  const names = (settings: McmaeSettings) =>
    entries(initMcmae(settings, shapesOnly)).map(([path]) => path);
  const without = names({ ...small, multiScaleDecoder: false });
  const missing = names(small).filter((path) => !without.includes(path));
  assert.deepEqual(missing.map((path) => path.replace(/\.\w+$/, "")), [
    ...Array(2).fill("stage1_output_decode"),
    ...Array(2).fill("stage2_output_decode"),
  ]);
});

Deno.test("initMcmae() draws the same values from a key, and others from another", () => {
  const small = { ...base, embedDims: [8, 8, 16], depths: [1, 1, 1], decoderDepth: 1 } as const;
  const values = (seed: number) =>
    entries<Tensor>(initMcmae(small, initializer(key(seed)))).map(([path, { source }]) =>
      [path, (source as { data: Float32Array }).data] as const
    );
  assert.deepEqual(values(1), values(1));
  const other = new Map(values(2));
  for (const [path, data] of values(1)) {
    // Gains, most biases and tables are constants; weights are drawn, each by its own key.
    const drawn = data.some((value) => value !== data[0]) && !FROZEN.includes(path);
    if (drawn) assert.notDeepEqual(data, other.get(path), path);
  }
});
