import assert from "node:assert/strict";
import { type Mask, randomMask, spaceTimeMask, tubeMask } from "../../../data/mask.ts";
import { grad } from "../../../src/grad.ts";
import { initializer } from "../../../src/init.ts";
import { cubeLoss } from "../../../src/models/clips.ts";
import { decode, FROZEN, type MaskedImages, patchLoss } from "../../../src/models/decoder.ts";
import { encode, initMcmae, type McmaeSettings } from "../../../src/models/mcmae.ts";
import type { StageSettings } from "../../../src/models/mcmae_stages.ts";
import {
  encodeVideo,
  initVideoMcmae,
  type VideoMcmaeParams,
  type VideoMcmaeSettings,
} from "../../../src/models/videomcmae.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll } from "../../../src/plan/read.ts";
import { key, split } from "../../../src/random.ts";
import { type Tensor, tensor } from "../../../src/tensor.ts";
import { entries, map } from "../../../src/tree.ts";
import { close, random, sameBits, toTensor, withoutBroadcast } from "../../check_op.ts";

const stages: StageSettings = {
  ...{ imageSize: [16, 24], channels: 3, patchSizes: [2, 2, 2], embedDims: [8, 12, 16] },
  ...{ depths: [2, 1, 1], mlpRatios: [2, 2, 2], heads: 2, kernelSize: 5 },
  ...{ maskedConvolution: true, multiScaleDecoder: true, evaluation: "visible" },
  ...{ decoderDim: 16, decoderDepth: 1, decoderHeads: 2, normPix: true },
};

/** Three time slots of 2 × 3 tokens. */
const tiny: VideoMcmaeSettings = {
  ...stages,
  ...{ kind: "videomcmae", frames: 6, tubelet: 2, temporalKernel: 3, decoderMlpRatio: 3 },
  ...{ masking: "tube", mean: [0.5, 0.4, 0.3], std: [0.2, 0.25, 0.3] },
};
const TOKENS = { slots: 3, cells: 6 };
const SAMPLES = 2;

function clipsFor({ frames, imageSize, channels }: VideoMcmaeSettings): Tensor {
  return toTensor(random([SAMPLES, frames, ...imageSize, channels], 99));
}

function batchOf(images: Tensor, { keep, restore, removed, visible }: Mask): MaskedImages {
  const L = restore.length / SAMPLES;
  return {
    images,
    keep: tensor(keep, [SAMPLES, visible]),
    restore: tensor(restore, [SAMPLES, L]),
    removed: tensor(removed, [SAMPLES, L]),
  };
}

type Values = Map<string, Float32Array>;

/** Everything that a function makes of parameters and a batch. */
async function outcome<P extends object>(
  params: P,
  batch: MaskedImages,
  fn: (params: P, batch: MaskedImages) => Record<string, unknown>,
): Promise<Values> {
  const device = await withoutBroadcast(); // its products compile ten times faster
  const args = { params, batch } as never;
  const plan = await compile(
    device,
    (args: { params: P; batch: MaskedImages }) => fn(args.params, args.batch) as never,
    args,
  );
  const results = entries<Tensor>(plan.run(args));
  const values = await readAll(device, results.map(([, x]) => x));
  plan.destroy();
  return new Map(results.map(([path], i) => [path, values[i] as Float32Array]));
}

/** Maps, predictions, losses and gradients of the video model. */
function videoOutcome(settings: VideoMcmaeSettings, batch: MaskedImages) {
  return outcome(initVideoMcmae(settings, initializer(key(1))), batch, (params, batch) => {
    const encoded = encodeVideo(params, settings, batch);
    const predicted = decode(params, settings, encoded.latent, batch);
    const losses = [true, false].map((normPix) =>
      cubeLoss(predicted, batch, { ...settings, normPix }, 8)
    );
    return { ...encoded, predicted, losses, slopes: losses.map((loss) => grad(loss, params)) };
  });
}

/** The visible blocks `[N, V, s, s, C]` of a map `[N, S, GH · s, GW · s, C]`. */
function visibleBlocks(map: Float32Array, mask: Mask, [GH, GW]: number[], s: number) {
  const L = mask.restore.length / SAMPLES;
  const C = map.length / (SAMPLES * L * s * s);
  const blocks = new Float32Array(mask.keep.length * s * s * C);
  mask.keep.forEach((token, block) => {
    const slots = Math.floor(block / mask.visible) * (L / GH / GW) + Math.floor(token / (GH * GW));
    const cell = token % (GH * GW);
    for (let i = 0; i < s; i++) {
      const row = slots * GH * s + Math.floor(cell / GW) * s + i;
      const start = (row * GW + cell % GW) * s * C;
      blocks.set(map.subarray(start, start + s * C), (block * s + i) * s * C);
    }
  });
  return blocks;
}

const keys = split(key(3), SAMPLES);
const cases: [name: string, mask: Mask, change: Partial<VideoMcmaeSettings>][] = [
  ["tubes, kt = 3", tubeMask(keys, TOKENS, 0.7), {}],
  ["tubes, kt = 1", tubeMask(keys, TOKENS, 0.5), { temporalKernel: 1 }],
  ["random masks, kt = 3", spaceTimeMask(keys, TOKENS, 0.6), { masking: "random" }],
  ["random masks, kt = 5 beyond the clip, k = 3, one scale", spaceTimeMask(keys, TOKENS, 0.4), {
    ...{ masking: "random", temporalKernel: 5, multiScaleDecoder: false, kernelSize: 3 },
  }],
];

for (const [name, mask, change] of cases) {
  Deno.test(`Visible-only clips equal dense ones in every output and gradient: ${name}`, async () => {
    const settings = { ...tiny, ...change };
    const batch = batchOf(clipsFor(settings), mask);
    const visible = await videoOutcome(settings, batch);
    const dense = await videoOutcome({ ...settings, evaluation: "dense" }, batch);
    assert.deepEqual([...visible.keys()], [...dense.keys()]);
    const sides = new Map([["e1", 4], ["e2", 2], ["embedded", 1]]);
    for (const [path, found] of visible) {
      const s = sides.get(path);
      const expected = dense.get(path)!;
      close(found, s ? visibleBlocks(expected, mask, [2, 3], s) : expected, 1e-5, path);
      const isTable = FROZEN.some((table) => path.endsWith(`.${table}`));
      assert.ok(isTable || found.some((x) => x !== 0), `${path} is all zeros`);
    }
  });
}

Deno.test("Removed cubes never reach a prediction, and do without masked convolutions", async () => {
  const mask = spaceTimeMask(keys, TOKENS, 0.6);
  const batch = batchOf(clipsFor(tiny), mask);
  const { data } = batch.images.source as { data: Float32Array };
  const [T, [H, W], C] = [tiny.frames, tiny.imageSize, tiny.channels];
  const changed = data.map((value, i) => {
    const pixel = Math.floor(i / C);
    const [x, y, t] = [pixel % W, Math.floor(pixel / W) % H, Math.floor(pixel / W / H) % T];
    const token = (Math.floor(t / 2) * 2 + Math.floor(y / 8)) * 3 + Math.floor(x / 8);
    const n = Math.floor(pixel / W / H / T);
    return mask.removed[n * 18 + token] === 1 ? 3 - 2 * value : value;
  });
  const other = { ...batch, images: tensor(changed, batch.images.shape) };
  for (const maskedConvolution of [true, false]) {
    const settings = { ...tiny, maskedConvolution, evaluation: "dense" as const };
    const [before, after] = [
      await videoOutcome(settings, batch),
      await videoOutcome(settings, other),
    ];
    const [a, b] = [before.get("predicted")!, after.get("predicted")!];
    if (maskedConvolution) sameBits(b, a);
    else assert.throws(() => close(b, a, 1e-4));
    assert.notDeepEqual(after.get("losses.0"), before.get("losses.0")); // targets did change
  }
});

Deno.test("VideoMCMAE of one frame, one slot and kt = 1 is the image model", async () => {
  const image: McmaeSettings = { ...stages, kind: "mcmae", masking: "block", normPix: false };
  const video: VideoMcmaeSettings = {
    ...{ ...tiny, frames: 1, tubelet: 1, temporalKernel: 1, decoderMlpRatio: 2, normPix: false },
    ...{ mean: [0, 0, 0], std: [1, 1, 1] },
  };
  const params = initMcmae(image, initializer(key(1)));
  // Convolutions get an axis of time; linear layers and tables are the same.
  const clipShapes = new Map(
    entries<Tensor>(initVideoMcmae(video, initializer(key(1)))).map(([path, x]) => [path, x.shape]),
  );
  const clipParams: VideoMcmaeParams = map<Tensor, Tensor>(
    params,
    (x, path) => ({ ...x, shape: clipShapes.get(path)! }),
  );
  const mask = randomMask(keys, 6, 0.6);
  const images = toTensor(random([SAMPLES, 16, 24, 3], 98));
  const clips = { ...images, shape: [SAMPLES, 1, 16, 24, 3] };
  for (const evaluation of ["visible", "dense"] as const) {
    const expected = await outcome(params, batchOf(images, mask), (params, batch) => {
      const encoded = encode(params, { ...image, evaluation }, batch);
      const predicted = decode(params, image, encoded.latent, batch);
      const loss = patchLoss(predicted, batch, image, 8);
      return { ...encoded, predicted, loss, slopes: grad(loss, params) };
    });
    const found = await outcome(clipParams, batchOf(clips, mask), (params, batch) => {
      const encoded = encodeVideo(params, { ...video, evaluation }, batch);
      const predicted = decode(params, video, encoded.latent, batch);
      const loss = cubeLoss(predicted, batch, video, 8);
      return { ...encoded, predicted, loss, slopes: grad(loss, params) };
    });
    assert.deepEqual([...found.keys()], [...expected.keys()]);
    for (const [path, values] of found) sameBits(values, expected.get(path)!, path);
  }
});

Deno.test("initVideoMcmae() has the image model's names, and kernels over time", () => {
  const image: McmaeSettings = { ...stages, kind: "mcmae", masking: "block" };
  const ofImage = entries<Tensor>(initMcmae(image, initializer(key(1)))).map(([path]) => path);
  const ofVideo = new Map(entries<Tensor>(initVideoMcmae(tiny, initializer(key(1)))));
  assert.deepEqual([...ofVideo.keys()], ofImage);
  const shapeOf = (path: string) => ofVideo.get(path)!.shape;
  assert.deepEqual(shapeOf("pos_embed"), [1, 18, 16]);
  assert.deepEqual(shapeOf("patch_embed1.proj.weight"), [8, 3, 2, 2, 2]);
  assert.deepEqual(shapeOf("patch_embed3.proj.weight"), [16, 12, 1, 2, 2]);
  assert.deepEqual(shapeOf("blocks1.0.attn.weight"), [8, 1, 3, 5, 5]);
  assert.deepEqual(shapeOf("blocks2.0.mlp.fc1.weight"), [24, 12, 1, 1, 1]);
  assert.deepEqual(shapeOf("stage1_output_decode.weight"), [16, 8, 1, 4, 4]);
  assert.deepEqual(shapeOf("decoder_blocks.0.mlp.fc1.weight"), [48, 16]);
  assert.deepEqual(shapeOf("decoder_pred.weight"), [2 * 8 * 8 * 3, 16]);
  // PyTorch's bound on a convolution's weights, 1 / √(inputs · T · k · k).
  const { data } = ofVideo.get("blocks1.0.attn.weight")!.source as { data: Float32Array };
  const largest = Math.max(...data.map(Math.abs));
  assert.ok(largest <= 1 / Math.sqrt(75) && largest > 0.9 / Math.sqrt(75));
});
