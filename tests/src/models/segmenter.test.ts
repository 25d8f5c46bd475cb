import assert from "node:assert/strict";
import { segmenterOf, type SegmentRecipe } from "../../../pipelines/segment/recipe.ts";
import { findRecipe } from "../../../pipelines/recipes/mod.ts";
import { upernetAde20k } from "../../../pipelines/recipes/segment.ts";
import { type Initializer, initializer } from "../../../src/init.ts";
import { backboneMaps } from "../../../src/models/backbone.ts";
import { byBatch, byRunning, isRunning } from "../../../src/models/batch_norm.ts";
import type { McmaeSettings } from "../../../src/models/mcmae.ts";
import {
  drawsOf,
  initSegmenter,
  type Maps,
  pixelLoss,
  segment,
  segmenterDecays,
  segmenterLayerDecay,
  segmenterMaps,
  type SegmenterParams,
  segmenterScores,
  type SegmenterSettings,
} from "../../../src/models/segmenter.ts";
import { initFcnHead, initUperHead } from "../../../src/models/upernet.ts";
import { loadSegmenter } from "../../../src/pretrained_segmenter.ts";
import { readAll } from "../../../src/plan/read.ts";
import type { Params } from "../../../src/optim.ts";
import { type Grid, interpolatePositions } from "../../../src/pos_embed.ts";
import { key, normal } from "../../../src/random.ts";
import { loadSafetensors } from "../../../src/safetensors.ts";
import { node, sizeOf, type Tensor, tensor, zeros } from "../../../src/tensor.ts";
import { entries, map } from "../../../src/tree.ts";
import { close, sharedDevice } from "../../check_op.ts";
import { temporaryFolder } from "../../data/temporary_folder.ts";
import {
  drawSegmenter,
  SEGMENTER,
  writeSegmenter,
} from "../../pipelines/segment/tiny_segmenters.ts";

/** Draws nothing but shapes. */
const shapesOnly: Initializer = {
  uniform: (shape) => node({ shape, dtype: "f32" }, { kind: "argument", index: 0 }),
  normal: (shape) => node({ shape, dtype: "f32" }, { kind: "argument", index: 0 }),
};

const encoder = (more: Partial<McmaeSettings>): McmaeSettings => ({
  ...SEGMENTER.encoder,
  ...more,
});
const shapesOf = (tree: Params) =>
  Object.fromEntries(entries<Tensor>(tree).map(([path, { shape }]) => [path, [...shape]]));
const valuesOf = ({ source }: Tensor) => (source as { data: Float32Array }).data;
const imagesOf = (...shape: number[]) => tensor(normal(key(3), sizeOf(shape)), shape);

/** Shapes of a published file's parameters, without the indices that PyTorch keeps beside tables. */
async function published(name: string): Promise<Record<string, number[]>> {
  const { tensors } = await loadSafetensors(`tests/golden/${name}.safetensors`);
  return Object.fromEntries(
    [...tensors].filter(([path]) =>
      path.startsWith("param.") && !path.endsWith("relative_position_index")
    ).map(([path, { shape }]) => [path.slice("param.".length), [...shape]]),
  );
}

/** The segmenter of `seg_slide`, but for its auxiliary head's input. */
const SLIDE: SegmenterSettings = {
  ...SEGMENTER,
  encoder: encoder({
    ...{ imageSize: [64, 64], patchSizes: [4, 2, 2], embedDims: [4, 6, 8] },
    mlpRatios: [2, 2, 2],
  }),
  ...{ classes: 5, relativePositions: "blocks", layerScale: 1, headChannels: 6 },
};

Deno.test("initSegmenter() has the published names and shapes", async () => {
  const shapes = shapesOf(initSegmenter(SLIDE, shapesOnly));
  assert.deepEqual(shapes, await published("seg_slide"));
});

Deno.test("initUperHead() and initFcnHead() have mmsegmentation's names and shapes", async () => {
  const { tensors } = await loadSafetensors("tests/golden/seg_upernet.safetensors");
  const [C1, C2, C3] = [0, 1, 2].map((i) => tensors.get(`feat${i}`)!.shape[1]);
  const heads = {
    decode_head: initUperHead(shapesOnly, [C1, C2, C3, C3], { channels: 8, classes: 7 }),
    auxiliary_head: initFcnHead(shapesOnly, C3, { channels: 5, classes: 7 }),
  };
  assert.deepEqual(shapesOf(heads), await published("seg_upernet"));
});

Deno.test("segmenterLayerDecay() and segmenterDecays() are those of the published optimizer", async () => {
  const { metadata } = await loadSafetensors("tests/golden/seg_backbone.safetensors");
  const { layer_decay_rate, map } = JSON.parse(metadata.layer_decay_map) as {
    readonly layer_decay_rate: number;
    readonly map: Record<string, { readonly lr_scale: number; readonly no_decay: boolean }>;
  };
  const settings: SegmenterSettings = {
    ...SEGMENTER,
    encoder: encoder({
      ...{ imageSize: [96, 96], patchSizes: [4, 2, 2], embedDims: [8, 12, 16] },
      ...{ depths: [1, 1, 3], heads: 4, mlpRatios: [4, 4, 4] },
    }),
    ...{ relativePositions: "blocks", layerScale: 1 },
  };
  const factor = segmenterLayerDecay(settings, layer_decay_rate);
  const params = entries<Tensor>(initSegmenter(settings, shapesOnly));
  const found = Object.fromEntries(
    params.filter(([path]) => path.startsWith("backbone.") && !isRunning(path))
      .map(([path, value]) => [path, [factor(path), !segmenterDecays(path, value)]]),
  );
  const expected = Object.fromEntries(
    Object.entries(map).filter(([path]) => path.startsWith("backbone."))
      .map(([path, { lr_scale, no_decay }]) => [path, [lr_scale, no_decay]]),
  );
  assert.deepEqual(found, expected);
  assert.equal(found["backbone.blocks3.1.mlp.fc1.bias"][0], 0.75 ** 2);
  for (const [path] of params) if (!path.startsWith("backbone.")) assert.equal(factor(path), 1);
});

Deno.test("backboneMaps() has its strides, also for a rectangle of another size than the model's", async () => {
  const device = await sharedDevice();
  const variants: Partial<SegmenterSettings>[] = [
    {},
    { relativePositions: "blocks", layerScale: 0.1 },
    { relativePositions: "shared" },
  ];
  for (const variant of variants) {
    const settings = { ...SEGMENTER, ...variant };
    const { backbone } = drawSegmenter(settings);
    const maps = backboneMaps(backbone, settings, imagesOf(2, 64, 40, 3), byRunning);
    assert.deepEqual(maps.map(({ shape }) => shape), [
      ...[[2, 16, 10, 8], [2, 8, 5, 12]],
      ...[[2, 8, 5, 16], [2, 3, 2, 16]],
    ]);
    for (const values of await readAll(device, maps)) {
      assert.ok((values as Float32Array).every(Number.isFinite));
    }
  }
  const { backbone } = drawSegmenter(SEGMENTER);
  assert.throws(() => backboneMaps(backbone, SEGMENTER, imagesOf(1, 16, 48, 3), byRunning), {
    name: "RangeError",
    message: "Cannot make maps of images [1,16,48,3]: a side has less than 24 pixels",
  });
});

Deno.test("backboneMaps() interpolates positions and tables for another size, as files' are", async () => {
  for (const relativePositions of ["blocks", "shared"] as const) {
    const settings = { ...SEGMENTER, relativePositions };
    const { backbone } = drawSegmenter(settings);
    const resized = map<Tensor, Tensor, typeof backbone>(backbone, (leaf, path) => {
      const grids: [Grid, Grid] | undefined = path === "pos_embed"
        ? [[6, 6], [7, 9]]
        : path.endsWith("_table")
        ? [[11, 11], [13, 17]]
        : undefined;
      if (!grids) return leaf;
      const values = interpolatePositions(valuesOf(leaf), ...grids);
      const shape = leaf.shape.with(-2, grids[1][0] * grids[1][1]);
      return tensor(values, shape);
    });
    const larger = { ...settings, encoder: encoder({ imageSize: [56, 72] }) };
    const images = imagesOf(1, 56, 72, 3);
    const maps = backboneMaps(backbone, settings, images, byRunning);
    const expected = backboneMaps(resized, larger, images, byRunning);
    const unbiased = backboneMaps(
      map<Tensor, Tensor, typeof backbone>(
        resized,
        (leaf, path) => path.endsWith("_table") ? zeros(leaf.shape) : leaf,
      ),
      ...[larger, images, byRunning] as const,
    );
    const [found, wanted, other] = await readAll(await sharedDevice(), [
      ...[maps[2], expected[2], unbiased[2]],
    ]);
    close(found, wanted, 1e-6);
    assert.throws(() => close(other, wanted, 1e-3), "the tables count");
  }
});

Deno.test("initSegmenter() has gains and tables as told, and loadSegmenter() tells them from the file", async () => {
  await using folder = await temporaryFolder();
  const plain = Object.keys(shapesOf(initSegmenter(SEGMENTER, shapesOnly)));
  const gains = ["backbone.blocks3.0.gamma_1", "backbone.blocks3.0.gamma_2"];
  const table = "relative_position_bias_table";
  const variants: [Partial<SegmenterSettings>, more: string[]][] = [
    [{}, []],
    [{ layerScale: 0.25 }, gains],
    [{ relativePositions: "blocks" }, [`backbone.blocks3.0.attn.${table}`]],
    [{ relativePositions: "shared", layerScale: 1 }, [...gains, `backbone.rel_pos_bias.${table}`]],
  ];
  for (const [variant, more] of variants) {
    const settings = { ...SEGMENTER, ...variant };
    const params = drawSegmenter(settings);
    const shapes = shapesOf(params);
    assert.deepEqual(Object.keys(shapes).sort(), [...plain, ...more].sort());
    for (const name of more) {
      assert.deepEqual(shapes[name], name.endsWith(table) ? [11 * 11, 2] : [16]);
    }
    for (const [name, value] of entries<Tensor>(initSegmenter(settings, initializer(key(0))))) {
      const isZero = valuesOf(value).every((x) => x === 0);
      assert.ok(isZero || !name.endsWith(table), `${name} begins at zero, as published`);
    }
    const { gamma_1 } = params.backbone.blocks3[0] as { gamma_1?: Tensor };
    assert.ok(!gamma_1 || valuesOf(gamma_1).every((gain) => gain === settings.layerScale));
    const path = `${folder.path}/segmenter.safetensors`;
    await writeSegmenter(path, params, settings, { classes: '["a","b","c"]' });
    const loaded = await loadSegmenter(path);
    const like = { ...settings, layerScale: settings.layerScale === null ? null : 1 };
    assert.deepEqual(loaded.settings, like);
    assert.deepEqual([loaded.classNames, loaded.mean], [["a", "b", "c"], [0.5, 0.4, 0.3]]);
    assert.deepEqual(loaded.masks, {
      ...{ ignoreIndex: 255, reduceZeroLabel: false, long: null, short: null },
    });
    const values = new Map(entries<Tensor>(loaded.params));
    for (const [name, value] of entries<Tensor>(params)) {
      assert.deepEqual(valuesOf(values.get(name)!), valuesOf(value), name);
    }
  }
});

Deno.test("loadSegmenter() names the file and what it lacks", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/half.safetensors`;
  const { decode_head: { bottleneck, ...head }, ...rest } = drawSegmenter(SEGMENTER);
  const bn = { ...bottleneck.bn } as Partial<typeof bottleneck.bn>;
  delete (bn as { running_var?: Tensor }).running_var;
  const half = { ...rest, decode_head: { ...head, bottleneck: { ...bottleneck, bn } } };
  await writeSegmenter(path, half as SegmenterParams, SEGMENTER);
  await assert.rejects(loadSegmenter(path), (error: Error) => {
    assert.equal(error.name, "CheckpointError");
    assert.match(
      error.message,
      /^Cannot use .*half\.safetensors: it is no whole segmenter: .*bottleneck\.bn\.running_var/,
    );
    assert.ok(!error.message.includes("\n"));
    return true;
  });
});

Deno.test("segment() enlarges the scores of UPerNet by running moments, without the auxiliary head", async () => {
  const params = drawSegmenter(SEGMENTER);
  const images = imagesOf(1, 24, 24, 3);
  const maps = segmenterMaps(params, SEGMENTER, images);
  const { logits, auxiliary } = segmenterScores(params, SEGMENTER, maps);
  assert.deepEqual([logits.shape, auxiliary.shape], [[1, 6, 6, 3], [1, 3, 3, 3]]);
  const other = { ...params, auxiliary_head: drawSegmenter(SEGMENTER, 8).auxiliary_head };
  const [small, large, again] = await readAll(await sharedDevice(), [
    logits,
    segment(params, SEGMENTER, images),
    segment(other, SEGMENTER, images),
  ]);
  assert.equal(large.length, 24 * 24 * 3);
  assert.deepEqual(large, again);
  // A corner of the enlarged map is the corner's own score.
  assert.deepEqual([...large.subarray(0, 3)], [...small.subarray(0, 3)]);
});

Deno.test("segmenterScores() drops channels of both heads by their own draws, and none without", async () => {
  const settings = { ...SEGMENTER, dropout: 0.5 };
  const params = drawSegmenter(settings);
  const maps: Maps = [
    ...[imagesOf(1, 8, 8, 8), imagesOf(1, 4, 4, 12)] as const,
    ...[imagesOf(1, 4, 4, 16), imagesOf(1, 1, 1, 16)] as const,
  ];
  const { paths, drops } = drawsOf(settings);
  assert.deepEqual([paths, drops], [6, 12]);
  const scores = (draw: (i: number) => number, rate = 0.5) => {
    const values = Float32Array.from({ length: drops }, (_, i) => draw(i));
    const draws = { paths: zeros([1, paths]), drops: tensor(values, [1, drops]) };
    return segmenterScores(params, { ...settings, dropout: rate }, maps, { draws });
  };
  const evaluated = segmenterScores(params, settings, maps);
  const heads = [
    evaluated,
    scores(() => 0, 0), // at rate 0 draws do not count
    scores((i) => i < 8 ? 0 : 0.9), // all channels of UPerNet
    scores((i) => i < 8 ? 0.9 : 0),
  ];
  const read = await readAll(
    await sharedDevice(),
    heads.flatMap(({ logits, auxiliary }) => [logits, auxiliary]),
  );
  const [logits, auxiliary, same, sameToo, none, doubled, doubledToo, noneToo] = read;
  assert.deepEqual([same, sameToo], [logits, auxiliary]);
  // Of no channel biases are left, which are zero; what stays is twice itself.
  for (const empty of [none, noneToo]) assert.ok((empty as Float32Array).every((x) => x === 0));
  close(doubled, auxiliary.map((x) => 2 * x), 1e-6);
  close(doubledToo, logits.map((x) => 2 * x), 1e-6);
});

Deno.test("byBatch() measures every BatchNorm that a step uses, by the paths of its moments", () => {
  const params = initSegmenter(SEGMENTER, shapesOnly);
  const { normalise, statistics } = byBatch(params);
  const maps = segmenterMaps(params, SEGMENTER, imagesOf(2, 48, 48, 3), { normalise });
  segmenterScores(params, SEGMENTER, maps, { normalise });
  const running = entries<Tensor>(params).filter(([path]) => isRunning(path));
  const measured = statistics();
  assert.deepEqual(Object.keys(measured), running.map(([path]) => path));
  for (const [path, { shape }] of running) assert.deepEqual(measured[path].shape, shape, path);
  assert.equal(running.length, 2 * 14);
});

Deno.test("byBatch() normalises by a batch's moments, byRunning() by those that were kept", async () => {
  const values = normal(key(5), 4 * 3 * 3 * 2).map((z, i) => z * (1 + i % 2) + 3 * (i % 2));
  const x = tensor(values, [4, 3, 3, 2]);
  const layer = {
    ...{ weight: tensor([2, 3]), bias: tensor([0.5, -1]) },
    ...{ running_mean: tensor([1, 2]), running_var: tensor([4, 0.25]) },
  };
  const { normalise, statistics } = byBatch({ bn: layer });
  const y = normalise(x, layer);
  const { "bn.running_mean": mean, "bn.running_var": variance } = statistics();
  const [batch, kept, measuredMean, measuredVar] = await readAll(
    await sharedDevice(),
    [y, byRunning(x, layer), mean, variance],
  );
  const channel = (c: number) => [...values].filter((_, i) => i % 2 === c);
  const means = [0, 1].map((c) => channel(c).reduce((sum, v) => sum + v, 0) / 36);
  const squares = [0, 1].map((c) => channel(c).reduce((sum, v) => sum + (v - means[c]) ** 2, 0));
  const applied = (mean: number[], variance: number[]) =>
    Float64Array.from(values, (v, i) => {
      const c = i % 2;
      return (v - mean[c]) / Math.sqrt(variance[c] + 1e-5) * [2, 3][c] + [0.5, -1][c];
    });
  close(batch, applied(means, squares.map((square) => square / 36)), 1e-6);
  close(kept, applied([1, 2], [4, 0.25]), 1e-6);
  close(measuredMean, means, 1e-6);
  close(measuredVar, squares.map((square) => square / 35), 1e-6); // unbiased, as PyTorch keeps it
});

Deno.test("pixelLoss() is the mean over all pixels, of which ignored ones count zero", async () => {
  const logits = tensor([1, 0, 0, 2], [1, 1, 2, 2]);
  const labels = tensor(Uint32Array.of(0, 255), [1, 1, 2]);
  const [loss] = await readAll(await sharedDevice(), [pixelLoss(logits, labels)]);
  close(loss, [Math.log1p(Math.exp(-1)) / 2], 1e-6);
});

Deno.test("initSegmenter() gives MCMAE-B with UPerNet its numbers of parameters at 512 pixels", () => {
  const { model } = findRecipe("mcmae_base");
  const recipe = { model: { ...model, ...upernetAde20k.model } } as SegmentRecipe;
  const params = entries<Tensor>(initSegmenter(segmenterOf(recipe, 150), shapesOnly));
  const count = (wanted: (path: string) => boolean) =>
    params.filter(([path]) => wanted(path) && !isRunning(path))
      .reduce((sum, [, { shape }]) => sum + sizeOf(shape), 0);
  const within = (prefix: string) => count((path) => path.startsWith(prefix));
  // The classifier's without its norm; more positions, a table of positions and two gains a block.
  const classifier = 84_605_824 - 2 * 768;
  const encoder = classifier + (32 ** 2 - 14 ** 2) * 768 + 11 * (63 ** 2 * 12 + 2 * 768);
  const fpn = 9 * 768 ** 2 + 3 * 768; // makes the map at stride 32
  assert.deepEqual(
    ["backbone.", "decode_head.", "auxiliary_head.", ""].map(within),
    [encoder + fpn, 67_275_414, 1_808_534, 160_175_664],
  );
  // The paper's 153 M are those without this convolution, in whose place the published code once had
  // a pooling, and without the auxiliary head, which only training has.
  const { parameters } = upernetAde20k.published!;
  assert.equal(Math.round((encoder + within("decode_head.")) / 1e6), parameters);
});
