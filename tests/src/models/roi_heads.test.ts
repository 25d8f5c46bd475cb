import assert from "node:assert/strict";
import { regionsByLevel } from "../../../src/detection/levels.ts";
import { grad } from "../../../src/grad.ts";
import { initializer } from "../../../src/init.ts";
import { byRunning, type Normalise } from "../../../src/models/batch_norm.ts";
import {
  boxHead,
  initRoiHeads,
  maskHead,
  poolRegions,
  predictBoxes,
  type RoiHeadsParams,
} from "../../../src/models/roi_heads.ts";
import { boxLoss, maskLoss, maskProbabilities } from "../../../src/models/roi_losses.ts";
import { byCountedRows } from "../../../src/models/weighted_batch_norm.ts";
import { add } from "../../../src/ops/map.ts";
import type { Params } from "../../../src/optim.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll } from "../../../src/plan/read.ts";
import { key } from "../../../src/random.ts";
import { loadSafetensors } from "../../../src/safetensors.ts";
import { type Tensor, tensor } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";
import { close, random, sharedDevice } from "../../check_op.ts";
import { randomBoxes } from "../detection/random_boxes.ts";

const K = 3;
const SETTINGS = { channels: 3, width: 5, classes: K };

const values = (shape: number[], seed: number) =>
  tensor(Float32Array.from(random(shape, seed).data), shape);

Deno.test("initRoiHeads() has the names and shapes of detectron2", async () => {
  const { tensors } = await loadSafetensors("tests/golden/detection_ops.safetensors");
  const settings = { channels: 6, width: 16, classes: 4, norm: "BN" } as const;
  const { box_head, box_predictor, mask_head } = initRoiHeads(initializer(key(1)), settings);
  for (const [name, params] of [["box_head", box_head], ["mask_head", mask_head]] as const) {
    const prefix = `${name}.param.`;
    const expected = [...tensors].filter(([path]) => path.startsWith(prefix))
      .map(([path, { shape }]) => [path.slice(prefix.length), [...shape]]);
    const found = entries<Tensor>(params as Params).map(([path, { shape }]) => [path, [...shape]]);
    assert.deepEqual(Object.fromEntries(found), Object.fromEntries(expected));
  }
  assert.deepEqual(
    entries<Tensor>(box_predictor).map(([path, { shape }]) => [path, ...shape]),
    [
      ...[["cls_score.weight", 5, 16], ["cls_score.bias", 5]],
      ...[["bbox_pred.weight", 16, 16], ["bbox_pred.bias", 16]],
    ],
  );
});

/** Regions of two images in maps of four strides, of 128 pixels. */
function regionsIn(slots: number) {
  const boxes = [1, 2].map((seed) => randomBoxes(seed, 3).map((x, i) => i % 4 < 2 ? x : 1.2 * x));
  const regions = regionsByLevel(boxes, slots);
  return regions.map((list) => tensor(list, [2 * slots, 5]));
}

const maps = [4, 8, 16, 32].map((stride, i) => values([2, 128 / stride, 128 / stride, 3], i));

/** All losses and the gradients of all parameters and maps, with more rows than boxes or without. */
async function losses(slots: number, normaliseBy: (params: Params, counts: Tensor) => Normalise) {
  const params = initRoiHeads(initializer(key(3)), { ...SETTINGS, norm: "BN" });
  const isReal = (row: number) => row % slots < 3;
  const rows = Array.from({ length: 2 * slots }, (_, row) => row);
  const number = (row: number) => Math.floor(row / slots) * 3 + row % slots;
  const of = (value: (row: number) => number) =>
    Float32Array.from(rows, (row) => isReal(row) ? value(number(row)) : 0);
  const classes = Uint32Array.from(rows, (row) => isReal(row) ? number(row) % (K + 1) : K + 1);
  const counts = tensor(of(() => 1));
  const weights = tensor(of(() => 1 / 6));
  const thingWeights = tensor(of((i) => i % (K + 1) < K ? 1 / 6 : 0));
  const [boxTargets, maskTargets] = [random([6, 4], 7).data, random([6, 14, 14], 8).data];
  // What is in a row that is left over does not matter.
  const spread = (data: Float64Array, size: number, change: (x: number) => number) =>
    Float32Array.from(rows.flatMap((row) =>
      Array.from(
        { length: size },
        (_, k) => isReal(row) ? change(data[number(row) * size + k]) : 0.7,
      )
    ));
  const args = {
    ...{ params, maps, regions: regionsIn(slots), counts },
    boxes: {
      ...{ classes: tensor(classes), weights, thingWeights },
      deltas: tensor(spread(boxTargets, 4, (x) => x), [rows.length, 4]),
    },
    masks: {
      ...{ classes: tensor(classes), weights },
      masks: tensor(spread(maskTargets, 196, (x) => Number(x > 0)), [rows.length, 14, 14]),
    },
  };
  const device = await sharedDevice();
  const plan = await compile(
    device,
    ({ params, maps, regions, counts, boxes, masks }: typeof args) => {
      const normalise = normaliseBy(params, counts);
      const pooled = poolRegions(maps, regions, 7);
      const said = predictBoxes(params.box_predictor, boxHead(params.box_head, pooled, normalise));
      const { classification, localisation } = boxLoss(said, boxes);
      const mask = maskLoss(maskHead(params.mask_head, pooled, normalise), masks);
      const leaves: RoiHeadsParams = params;
      const total = add(add(classification, localisation), mask);
      return {
        ...{ classification, localisation, mask },
        slopes: grad<Params>(total, { params: leaves as Params, maps }),
      };
    },
    args,
  );
  const results = entries<Tensor>(plan.run(args));
  const found = await readAll(device, results.map(([, value]) => value));
  plan.destroy();
  return new Map(results.map(([path], i) => [path, found[i]]));
}

Deno.test("The losses of the heads and all their gradients are the same with rows left over", async (t) => {
  const ways = {
    "by running moments": () => byRunning,
    "by those of the rows that count": (params: Params, counts: Tensor) =>
      byCountedRows(params, counts).normalise,
  };
  for (const [name, normaliseBy] of Object.entries(ways)) {
    await t.step(name, async () => {
      const [exact, padded] = [await losses(3, normaliseBy), await losses(5, normaliseBy)];
      for (const [path, values] of exact) {
        if (path.includes("running_")) continue;
        assert.ok(values.every(Number.isFinite), path);
        // A bias in front of a BatchNorm of the batch has no slope but rounding.
        close(padded.get(path)!, values, 2e-5, path);
      }
    });
  }
});

Deno.test("boxLoss() and maskLoss() have no slope in rows that are left over", async () => {
  const classes = tensor(Uint32Array.of(1, K, K + 1));
  const weights = tensor([0.5, 0.5, 0]);
  const logits = values([3, K + 1], 1);
  const deltas = values([3, K, 4], 2);
  const masks = values([3, 2, 2, K], 3);
  const { classification, localisation } = boxLoss({ logits, deltas }, {
    ...{ classes, weights, deltas: values([3, 4], 4), thingWeights: tensor([0.5, 0, 0]) },
  });
  const mask = maskLoss(masks, { classes, weights, masks: values([3, 2, 2], 5) });
  const [dLogits, dDeltas, dMasks] = await readAll(await sharedDevice(), [
    ...grad(classification, [logits]),
    ...[...grad(localisation, [deltas]), ...grad(mask, [masks])],
  ]);
  const touched = (slope: ArrayLike<number>) =>
    Array.from(slope).flatMap((value, i) => value === 0 ? [] : [i]);
  assert.deepEqual(touched(dLogits), [0, 1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(touched(dDeltas), [4, 5, 6, 7]);
  assert.deepEqual(touched(dMasks), [1, 4, 7, 10]);
});

Deno.test("maskProbabilities() are of each row's class", async () => {
  const logits = tensor([0, 2, -1, 5, 1, -3], [2, 1, 1, 3]);
  const found = maskProbabilities(logits, tensor(Uint32Array.of(1, 2)));
  const [values] = await readAll(await sharedDevice(), [found]);
  close(values, [2, -3].map((z) => 1 / (1 + Math.exp(-z))), 1e-6);
});
