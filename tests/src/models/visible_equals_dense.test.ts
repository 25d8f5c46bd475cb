import assert from "node:assert/strict";
import { type Mask, randomMask } from "../../../data/mask.ts";
import { grad } from "../../../src/grad.ts";
import { decode, type MaskedImages, patchLoss } from "../../../src/models/decoder.ts";
import { initializer } from "../../../src/init.ts";
import { encode, initMcmae, type McmaeSettings, strideOf } from "../../../src/models/mcmae.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll } from "../../../src/plan/read.ts";
import { fold, key, split } from "../../../src/random.ts";
import { type Tensor, tensor } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";
import { close, random, sameBits, toTensor, withoutBroadcast } from "../../check_op.ts";

const tiny: McmaeSettings = {
  kind: "mcmae",
  imageSize: [64, 32],
  channels: 3,
  patchSizes: [4, 2, 2],
  embedDims: [8, 12, 16],
  depths: [2, 1, 1],
  mlpRatios: [2, 2, 2],
  heads: 2,
  kernelSize: 5,
  maskedConvolution: true,
  masking: "block",
  multiScaleDecoder: true,
  evaluation: "visible",
  decoderDim: 16,
  decoderDepth: 1,
  decoderHeads: 2,
  normPix: true,
};

const SAMPLES = 2;

const tokensOf = ({ imageSize: [H, W] }: McmaeSettings, stride: number) =>
  (H / stride) * (W / stride);

function imagesFor({ imageSize, channels }: McmaeSettings): Tensor {
  return toTensor(random([SAMPLES, ...imageSize, channels], 99));
}

function batchOf(settings: McmaeSettings, { keep, restore, removed, visible }: Mask): MaskedImages {
  const L = tokensOf(settings, strideOf(settings));
  return {
    images: imagesFor(settings),
    keep: tensor(keep, [SAMPLES, visible]),
    restore: tensor(restore, [SAMPLES, L]),
    removed: tensor(removed, [SAMPLES, L]),
  };
}

function blockMasked(settings: McmaeSettings, ratio: number, seed = 1): MaskedImages {
  const L = tokensOf(settings, strideOf(settings));
  return batchOf(settings, randomMask(split(key(seed), SAMPLES), L, ratio));
}

/** Every final token is kept; cells of stage 1 are removed. */
function tokenMasked(settings: McmaeSettings): MaskedImages {
  const L = tokensOf(settings, strideOf(settings));
  const cells = tokensOf(settings, settings.patchSizes[0]);
  const { removed } = randomMask(split(key(2), SAMPLES), cells, 0.75);
  const all = Uint32Array.from({ length: SAMPLES * L }, (_, i) => i % L);
  return {
    images: imagesFor(settings),
    keep: tensor(all, [SAMPLES, L]),
    restore: tensor(all, [SAMPLES, L]),
    removed: tensor(removed, [SAMPLES, cells]),
  };
}

type Values = Map<string, Float32Array>;

/** Everything that a model makes of a batch: maps, predictions, losses, gradients. */
async function outcome(
  settings: McmaeSettings,
  batch: MaskedImages,
  gradients = true,
): Promise<Values> {
  const device = await withoutBroadcast(); // its products compile ten times faster
  const args = { params: initMcmae(settings, initializer(fold(key(0), 1))), batch: { ...batch } };
  const plan = await compile(device, ({ params, batch }) => {
    const encoded = encode(params, settings, batch);
    const predicted = decode(params, settings, encoded.latent, batch);
    const losses = [true, false].map((normPix) =>
      patchLoss(predicted, batch, { ...settings, normPix }, strideOf(settings))
    );
    const wrt = { params, images: batch.images };
    const slopes = gradients ? losses.map((loss) => grad(loss, wrt)) : [];
    return { ...encoded, predicted, losses, slopes };
  }, args);
  const results = entries<Tensor>(plan.run(args));
  const values = await readAll(device, results.map(([, x]) => x));
  plan.destroy();
  return new Map(results.map(([path], i) => [path, values[i] as Float32Array]));
}

/** The visible blocks `[N, V, s, s, C]` of a map `[N, GH · s, GW · s, C]`. */
function visibleBlocks(map: Float32Array, { keep }: MaskedImages, [GH, GW]: number[], s: number) {
  const C = map.length / (SAMPLES * GH * GW * s * s);
  const V = keep.shape[1];
  const places = (keep.source as { data: Uint32Array }).data;
  const blocks = new Float32Array(SAMPLES * V * s * s * C);
  places.forEach((place, block) => {
    const n = Math.floor(block / V);
    for (let i = 0; i < s; i++) {
      const row = n * GH * s + Math.floor(place / GW) * s + i;
      const start = (row * GW + place % GW) * s * C;
      blocks.set(map.subarray(start, start + s * C), (block * s + i) * s * C);
    }
  });
  return blocks;
}

const cases: [name: string, ratio: number, change: Partial<McmaeSettings>][] = [
  ["two blocks of a rectangle of eight", 0.75, {}],
  ["all but one block of twelve, one channel, strides 2, no multi-scale decoder", 0.01, {
    imageSize: [24, 32],
    channels: 1,
    patchSizes: [2, 2, 2],
    multiScaleDecoder: false,
  }],
  ["two blocks of nine, five channels, a stage 3 of stride 1", 0.75, {
    imageSize: [24, 24],
    channels: 5,
    patchSizes: [4, 2, 1],
    kernelSize: 7,
  }],
];

for (const [name, ratio, change] of cases) {
  Deno.test(`Visible-only equals dense in every output and gradient: ${name}`, async () => {
    const settings = { ...tiny, ...change };
    const { imageSize: [H, W], patchSizes: [, p2, p3] } = settings;
    const grid = [H / strideOf(settings), W / strideOf(settings)];
    const batch = blockMasked(settings, ratio);
    const visible = await outcome({ ...settings, evaluation: "visible" }, batch);
    const dense = await outcome({ ...settings, evaluation: "dense" }, batch);
    assert.deepEqual([...visible.keys()], [...dense.keys()]);
    const sides = new Map([["e1", p2 * p3], ["e2", p3], ["embedded", 1]]);
    for (const [path, found] of visible) {
      const s = sides.get(path);
      const expected = dense.get(path)!;
      close(found, s ? visibleBlocks(expected, batch, grid, s) : expected, 1e-5, path);
    }
  });
}

/** The same batch with other pixels wherever cells are removed. */
function withOtherPixels(settings: McmaeSettings, batch: MaskedImages): MaskedImages {
  const [H, W] = settings.imageSize;
  const { data: removed } = batch.removed.source as { data: Float32Array };
  const side = Math.sqrt(H * W / batch.removed.shape[1]);
  const { data } = batch.images.source as { data: Float32Array };
  const changed = data.map((value, i) => {
    const pixel = Math.floor(i / settings.channels);
    const [n, row, col] = [Math.floor(pixel / (H * W)), Math.floor(pixel / W) % H, pixel % W];
    const cell = (n * (H / side) + Math.floor(row / side)) * (W / side) + Math.floor(col / side);
    return removed[cell] === 1 ? 3 - 2 * value : value;
  });
  assert.notDeepEqual(changed, data);
  return { ...batch, images: tensor(changed, batch.images.shape) };
}

Deno.test("Removed pixels never reach a prediction, and do without masked convolutions", async (t) => {
  const rows: [name: string, settings: McmaeSettings, leaks: boolean][] = [
    ["visible-only", { ...tiny, evaluation: "visible" }, false],
    ["dense", { ...tiny, evaluation: "dense" }, false],
    ["token-wise masking", { ...tiny, masking: "token", evaluation: "dense" }, false],
    ["without masked convolutions", { ...tiny, maskedConvolution: false }, true],
  ];
  for (const [name, settings, leaks] of rows) {
    await t.step(name, async () => {
      const batch = settings.masking === "token"
        ? tokenMasked(settings)
        : blockMasked(settings, 0.75);
      const before = await outcome(settings, batch, false);
      const after = await outcome(settings, withOtherPixels(settings, batch), false);
      for (const path of ["latent", "predicted"]) {
        const [a, b] = [before.get(path)!, after.get(path)!];
        if (leaks) assert.throws(() => close(b, a, 1e-4), `${path} did not change`);
        else sameBits(b, a, path);
      }
      assert.notDeepEqual(after.get("losses.0"), before.get("losses.0")); // targets did change
    });
  }
});

Deno.test("Every ablation of Tables 5 and 6 runs forward and backward with finite numbers", async (t) => {
  const rows: [name: string, change: Partial<McmaeSettings>][] = [
    ["k = 7", { kernelSize: 7 }],
    ["k = 9", { kernelSize: 9 }],
    ["no multi-scale decoder", { multiScaleDecoder: false }],
    ["no masked convolutions", { maskedConvolution: false }],
    ["token-wise masking", { masking: "token" }],
  ];
  for (const [name, change] of rows) {
    await t.step(name, async () => {
      const settings = { ...tiny, ...change };
      const batch = settings.masking === "token"
        ? tokenMasked(settings)
        : blockMasked(settings, 0.75);
      for (const [path, values] of await outcome(settings, batch)) {
        assert.ok(values.every(Number.isFinite), `${path} is not finite`);
        // Each parameter takes part, but for the mask token where no token is filled in.
        const idle = settings.masking === "token" && path.endsWith("mask_token");
        assert.equal(values.some((value) => value !== 0), !idle, `${path} is all zeros or not`);
      }
    });
  }
});
