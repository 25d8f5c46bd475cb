import assert from "node:assert/strict";
import { type Initializer, initializer } from "../../../src/init.ts";
import type { McmaeSettings } from "../../../src/models/mcmae.ts";
import {
  initVitdetBackbone,
  vitdetBackboneMaps,
  type VitdetBackboneParams,
  type VitdetBackboneSettings,
} from "../../../src/models/vitdet_backbone.ts";
import type { Params } from "../../../src/optim.ts";
import { readAll } from "../../../src/plan/read.ts";
import { key, normal } from "../../../src/random.ts";
import { loadSafetensors } from "../../../src/safetensors.ts";
import { node, type Shape, sizeOf, type Tensor, tensor, zeros } from "../../../src/tensor.ts";
import { entries, map } from "../../../src/tree.ts";
import { close, sameBits, sharedDevice } from "../../check_op.ts";

const encoder: McmaeSettings = {
  ...{ kind: "mcmae", imageSize: [224, 224], channels: 3, patchSizes: [4, 2, 2] },
  ...{ embedDims: [8, 12, 16], depths: [1, 1, 4], heads: 2, mlpRatios: [4, 4, 4], kernelSize: 5 },
  ...{ decoderDim: 8, decoderDepth: 0, decoderHeads: 1, maskedConvolution: true },
  ...{ masking: "block", multiScaleDecoder: false, evaluation: "dense", normPix: true },
};

/** The model of the golden file. */
const SETTINGS: VitdetBackboneSettings = {
  ...{ encoder, imageSize: [160, 160], globalBlocks: [1, 3], windowSize: 4, outChannels: 8 },
};

const imagesOf = (...shape: number[]) => tensor(normal(key(3), sizeOf(shape)), shape);

/** Parameters whose tables differ from zero. */
function drawParams(settings: VitdetBackboneSettings): VitdetBackboneParams {
  const draw = initializer(key(1));
  return map(
    initVitdetBackbone(settings, draw),
    (leaf: Tensor, path) => path.includes("rel_pos") ? draw.normal(leaf.shape, 0.5) : leaf,
  );
}

Deno.test("initVitdetBackbone() has the published names and shapes", async () => {
  const { tensors } = await loadSafetensors("tests/golden/det_backbone_vitdet.safetensors");
  const published = [...tensors].filter(([path]) => path.startsWith("param.")).map(
    ([path, { shape }]) => [path.slice("param.".length), [...shape]],
  );
  const shapesOnly: Initializer = {
    uniform: (shape) => node({ shape, dtype: "f32" }, { kind: "argument", index: 0 }),
    normal: (shape) => node({ shape, dtype: "f32" }, { kind: "argument", index: 0 }),
  };
  const params = initVitdetBackbone(SETTINGS, shapesOnly);
  const shapes = entries<Tensor>(params as Params).map(([path, { shape }]) => [path, [...shape]]);
  assert.deepEqual(Object.fromEntries(shapes), Object.fromEntries(published));
});

Deno.test("vitdetBackboneMaps() makes a pyramid of images of any sides, each as if it were alone", async () => {
  const params = drawParams(SETTINGS);
  const of = (isSwapped: boolean) => {
    const [a, b] = [3, 4].map((seed) => normal(key(isSwapped ? 7 - seed : seed), 112 * 80 * 3));
    const images = tensor(Float32Array.of(...a, ...b), [2, 112, 80, 3]);
    const { last, pyramid } = vitdetBackboneMaps(params, SETTINGS, images);
    return [last, ...pyramid];
  };
  const maps = of(false);
  const shapes: Shape[] = [[28, 20], [14, 10], [7, 5], [3, 2], [2, 1]];
  assert.deepEqual(maps.map(({ shape }) => [...shape]), [
    [2, 7, 5, 16],
    ...shapes.map((side) => [2, ...side, 8]),
  ]);
  const values = await readAll(await sharedDevice(), [...maps, ...of(true)]);
  for (let i = 0; i < 6; i++) {
    const [map, other] = [values[i], values[i + 6]];
    assert.ok(map.every(Number.isFinite));
    sameBits(other.subarray(map.length / 2), map.subarray(0, map.length / 2), `map ${i}`);
  }
});

Deno.test("vitdetBackboneMaps() attends alike in one window of all tokens and globally", async () => {
  const settings = { ...SETTINGS, imageSize: [64, 64] as const };
  const params = drawParams(settings);
  const of = (globalBlocks: number[], params: VitdetBackboneParams) =>
    vitdetBackboneMaps(params, { ...settings, globalBlocks }, imagesOf(1, 64, 64, 3)).last;
  const without = map(
    params,
    (leaf: Tensor, path) => path.includes("rel_pos") ? zeros(leaf.shape) : leaf,
  );
  const [globally, locally, other] = await readAll(await sharedDevice(), [
    of([0, 1, 2, 3], params),
    of([], params),
    of([], without),
  ]);
  close(locally, globally, 1e-6);
  assert.throws(() => close(other, globally, 1e-3));
});

Deno.test("vitdetBackboneMaps() refuses images that tokens do not divide", () => {
  const params = drawParams(SETTINGS);
  assert.throws(() => vitdetBackboneMaps(params, SETTINGS, zeros([1, 100, 64, 3])), {
    name: "RangeError",
    message: "Cannot make maps of images [1,100,64,3]: the sides are no multiples of 16 pixels",
  });
});
