import assert from "node:assert/strict";
import { grad } from "../../../src/grad.ts";
import { type Initializer, initializer } from "../../../src/init.ts";
import type { McmaeSettings } from "../../../src/models/mcmae.ts";
import {
  initWindowedBackbone,
  windowedBackboneMaps,
  type WindowedBackboneParams,
  type WindowedBackboneSettings,
} from "../../../src/models/windowed_backbone.ts";
import { add, mul } from "../../../src/ops/map.ts";
import { sum } from "../../../src/ops/reduce.ts";
import type { Params } from "../../../src/optim.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll } from "../../../src/plan/read.ts";
import { interpolatePositions } from "../../../src/pos_embed.ts";
import { key, normal } from "../../../src/random.ts";
import { recomputingBlocks } from "../../../src/recompute.ts";
import { loadSafetensors } from "../../../src/safetensors.ts";
import { node, type Shape, sizeOf, type Tensor, tensor, zeros } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";
import { close, sameBits, sharedDevice } from "../../check_op.ts";

const encoder: McmaeSettings = {
  ...{ kind: "mcmae", imageSize: [64, 64], channels: 3, patchSizes: [4, 2, 2] },
  ...{ embedDims: [4, 6, 8], depths: [1, 1, 4], heads: 2, mlpRatios: [2, 2, 2], kernelSize: 5 },
  ...{ decoderDim: 8, decoderDepth: 0, decoderHeads: 1, maskedConvolution: true },
  ...{ masking: "block", multiScaleDecoder: false, evaluation: "dense", normPix: true },
};

/** A model of grids of 4 × 4, pretrained on as many tokens. */
const SETTINGS: WindowedBackboneSettings = {
  ...{ encoder, imageSize: [64, 64], globalBlocks: [0, 3], windowSize: 2, shift: false },
};

const imagesOf = (...shape: number[]) => tensor(normal(key(3), sizeOf(shape)), shape);

/** Parameters whose tables differ from zero. */
function drawParams(settings: WindowedBackboneSettings): WindowedBackboneParams {
  const draw = initializer(key(1));
  const params = initWindowedBackbone(settings, draw);
  const drawn = (
    { relative_position_bias_table: { shape } }: typeof params.global_rel_pos_bias,
  ) => ({
    relative_position_bias_table: draw.normal(shape, 1),
  });
  return {
    ...params,
    windowed_rel_pos_bias: drawn(params.windowed_rel_pos_bias),
    global_rel_pos_bias: drawn(params.global_rel_pos_bias),
  };
}

Deno.test("initWindowedBackbone() has the published names and shapes", async () => {
  const { tensors } = await loadSafetensors("tests/golden/det_backbone_windowed.safetensors");
  const published = [...tensors].filter(([path]) =>
    path.startsWith("param.") && !path.endsWith("relative_position_index")
  ).map(([path, { shape }]) => [path.slice("param.".length), [...shape]]);
  const shapesOnly: Initializer = {
    uniform: (shape) => node({ shape, dtype: "f32" }, { kind: "argument", index: 0 }),
    normal: (shape) => node({ shape, dtype: "f32" }, { kind: "argument", index: 0 }),
  };
  const params = initWindowedBackbone({
    ...SETTINGS,
    encoder: {
      ...encoder,
      ...{ imageSize: [128, 128], embedDims: [8, 12, 16], depths: [2, 2, 11] },
    },
    ...{ imageSize: [128, 128], windowSize: 4 },
  }, shapesOnly);
  const shapes = entries<Tensor>(params as Params).map(([path, { shape }]) => [path, [...shape]]);
  assert.deepEqual(Object.fromEntries(shapes), Object.fromEntries(published));
});

Deno.test("windowedBackboneMaps() makes maps of images that windows do not divide, of any sides", async () => {
  const params = drawParams(SETTINGS);
  const imagesOf = (isSwapped: boolean) => {
    const [a, b] = [3, 4].map((seed) => normal(key(isSwapped ? 7 - seed : seed), 80 * 48 * 3));
    return tensor(Float32Array.of(...a, ...b), [2, 80, 48, 3]);
  };
  for (const shift of [false, true]) {
    const maps = windowedBackboneMaps(params, { ...SETTINGS, shift }, imagesOf(false));
    const shapes: Shape[] = [[2, 20, 12, 4], [2, 10, 6, 6], [2, 5, 3, 8], [2, 2, 1, 8]];
    assert.deepEqual(maps.map(({ shape }) => [...shape]), shapes);
    // The same of each image, whatever lies beside it.
    const swapped = windowedBackboneMaps(params, { ...SETTINGS, shift }, imagesOf(true));
    const values = await readAll(await sharedDevice(), [...maps, ...swapped]);
    for (let i = 0; i < 4; i++) {
      const [map, other] = [values[i], values[i + 4]];
      assert.ok(map.every(Number.isFinite));
      sameBits(other.subarray(map.length / 2), map.subarray(0, map.length / 2), `map ${i}`);
    }
  }
});

Deno.test("windowedBackboneMaps() attends alike in one window of all tokens and globally", async () => {
  const params = drawParams({ ...SETTINGS, windowSize: 4 });
  const same = { ...params, windowed_rel_pos_bias: params.global_rel_pos_bias };
  const images = imagesOf(1, 64, 64, 3);
  const of = (params: WindowedBackboneParams, globalBlocks: number[], shift = false) =>
    windowedBackboneMaps(params, { ...SETTINGS, windowSize: 4, globalBlocks, shift }, images)[2];
  const [globally, locally, shifted, other] = await readAll(await sharedDevice(), [
    of(same, [0, 1, 2, 3]),
    of(same, []),
    of(same, [], true), // a single window has nowhere to go
    of(params, []),
  ]);
  close(locally, globally, 1e-6);
  sameBits(shifted, locally);
  assert.throws(() => close(other, globally, 1e-3));
});

Deno.test("windowedBackboneMaps() shifts every other windowed block", async () => {
  const params = drawParams(SETTINGS);
  const images = imagesOf(1, 64, 64, 3);
  const of = (globalBlocks: number[], shift: boolean) =>
    windowedBackboneMaps(params, { ...SETTINGS, globalBlocks, shift }, images)[2];
  const [one, oneShifted, two, twoShifted] = await readAll(await sharedDevice(), [
    ...[of([0, 2, 3], false), of([0, 2, 3], true)],
    ...[of([0, 3], false), of([0, 3], true)],
  ]);
  sameBits(oneShifted, one);
  assert.throws(() => close(twoShifted, two, 1e-3));
});

Deno.test("windowedBackboneMaps() takes an encoder that was pretrained on smaller images", async () => {
  const settings: WindowedBackboneSettings = { ...SETTINGS, imageSize: [96, 96], windowSize: 3 };
  const params = drawParams(settings);
  const { pos_embed } = params;
  const { data } = pos_embed.source as { data: Float32Array };
  const resized = interpolatePositions(data, [4, 4], [6, 6]);
  const large = { ...settings, encoder: { ...encoder, imageSize: [96, 96] as const } };
  const images = imagesOf(1, 96, 96, 3);
  const [found, expected] = await readAll(await sharedDevice(), [
    windowedBackboneMaps(params, settings, images)[3],
    windowedBackboneMaps({ ...params, pos_embed: tensor(resized, [1, 36, 8]) }, large, images)[3],
  ]);
  close(found, expected, 1e-6);
});

Deno.test("windowedBackboneMaps() has the same gradients where blocks are computed again", async () => {
  const settings = { ...SETTINGS, shift: true };
  const params = drawParams(settings);
  const images = imagesOf(1, 80, 64, 3);
  const device = await sharedDevice();
  const gradients = async (again: boolean) => {
    const args = { params: params as Params, images };
    const plan = await compile(device, ({ params, images }) =>
      recomputingBlocks(again, () => {
        const maps = windowedBackboneMaps(
          params as unknown as WindowedBackboneParams,
          settings,
          images,
        );
        return grad(maps.map((map) => sum(mul(map, map))).reduce(add), params);
      }), args);
    const results = entries<Tensor>(plan.run(args) as Params);
    const values = await readAll(device, results.map(([, value]) => value));
    plan.destroy();
    return values.map((value, i) => [results[i][0], value] as const);
  };
  const [kept, again] = [await gradients(false), await gradients(true)];
  again.forEach(([path, value], i) => {
    assert.ok(value.every(Number.isFinite) && value.some((x) => x !== 0), path);
    close(value, kept[i][1], 1e-6, path);
  });
});

Deno.test("windowedBackboneMaps() refuses images that tokens do not divide, or with a single one", () => {
  const params = drawParams(SETTINGS);
  assert.throws(() => windowedBackboneMaps(params, SETTINGS, zeros([1, 64, 40, 3])), {
    name: "RangeError",
    message: "Cannot make maps of images [1,64,40,3]: the sides are no multiples of 16 pixels",
  });
  assert.throws(() => windowedBackboneMaps(params, SETTINGS, zeros([1, 64, 16, 3])), {
    name: "RangeError",
    message: "Cannot make maps of images [1,64,16,3]: a side has less than 32 pixels",
  });
});
