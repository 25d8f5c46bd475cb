import assert from "node:assert/strict";
import { parametersText } from "../../../pipelines/detect/finetune_command.ts";
import {
  detectorOf,
  type DetectRecipe,
  evaluationRuleOf,
  trainingRuleOf,
} from "../../../pipelines/detect/recipe.ts";
import { mcmaeBase } from "../../../pipelines/recipes/mcmae_base.ts";
import { maskRcnnCoco } from "../../../pipelines/recipes/detect.ts";
import { anchorTargets } from "../../../src/detection/anchor_targets.ts";
import { initializer } from "../../../src/init.ts";
import { grad } from "../../../src/grad.ts";
import {
  anchorsOf,
  detectThings,
  initMaskRcnn,
  maskRcnnLosses,
  maskRcnnMaps,
  type MaskRcnnSettings,
  proposalOutputs,
  sumOf,
} from "../../../src/models/mask_rcnn.ts";
import { trainingRegions } from "../../../src/models/regions.ts";
import type { Params } from "../../../src/optim.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll } from "../../../src/plan/read.ts";
import { inferDetector, PUBLISHED_DETECTOR } from "../../../src/pretrained_detector.ts";
import { key } from "../../../src/random.ts";
import { type Shape, type Tensor, tensor, zeros } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";
import { close, random, sharedDevice, toTensor } from "../../check_op.ts";
import { ENCODER } from "../../pipelines/detect/tiny_detectors.ts";

const BLANK = { uniform: (shape: Shape) => zeros(shape), normal: (shape: Shape) => zeros(shape) };

const base: DetectRecipe = {
  ...maskRcnnCoco,
  pretrained: "",
  model: { ...mcmaeBase.model as DetectRecipe["model"], ...maskRcnnCoco.model },
};

const TINY: MaskRcnnSettings = {
  backbone: {
    kind: "windowed",
    encoder: ENCODER,
    ...{ imageSize: [64, 64], globalBlocks: [], windowSize: 2, shift: false, outChannels: 16 },
  },
  ...{ classes: 2, headWidth: 32, rpnConvolutions: 1, norm: "LN" },
};
const RULE = trainingRuleOf({ sampling: { before: 60, after: 16, anchors: 32, regions: 16 } });

Deno.test("initMaskRcnn() has detectron2's names, and the base size's parameters beside the paper's", () => {
  const params = initMaskRcnn(detectorOf(base, 80), BLANK);
  const shapes = new Map(
    entries<Tensor>(params as Params).map(([path, { shape }]) => [path, shape]),
  );
  for (
    const [name, shape] of Object.entries({
      "backbone.bottom_up.blocks3.10.attn.qkv.weight": [2304, 768],
      "backbone.bottom_up.windowed_rel_pos_bias.relative_position_bias_table": [31 * 31, 12],
      "backbone.fpn_lateral2.weight": [256, 256, 1, 1],
      "backbone.fpn_output5.norm.running_var": [256],
      "proposal_generator.rpn_head.conv.conv1.weight": [256, 256, 3, 3],
      "proposal_generator.rpn_head.anchor_deltas.weight": [12, 256, 1, 1],
      "roi_heads.box_head.fc1.weight": [1024, 256 * 49],
      "roi_heads.box_predictor.cls_score.weight": [81, 1024],
      "roi_heads.mask_head.predictor.weight": [80, 256, 1, 1],
    })
  ) assert.deepEqual(shapes.get(name), shape, name);
  assert.match(
    parametersText(params, base),
    /^110\.2 M parameters: 90\.7 backbone, 1\.18 .*; the paper says 104 M$/,
  );
  // A file of these shapes tells the settings.
  const { settings } = inferDetector(shapes, PUBLISHED_DETECTOR, { heads: 12, metadata: {} });
  const { backbone: { encoder: _, ...found }, ...rest } = settings;
  const { backbone: { encoder: __, ...wanted }, ...others } = detectorOf(base, 80);
  assert.deepEqual([found, rest], [wanted, others]);
});

Deno.test("maskRcnnMaps() refuses images whose sides no map divides", () => {
  const params = initMaskRcnn(TINY, BLANK);
  assert.throws(() => maskRcnnMaps(params, TINY, zeros([1, 48, 64, 3])), {
    name: "RangeError",
    message: "Cannot find things in images [1,48,64,3]: the sides are no multiples of 32 pixels",
  });
});

Deno.test("a training step gives finite losses and gradients of all parts, and repeats bit for bit", async () => {
  const device = await sharedDevice();
  const params = initMaskRcnn(TINY, initializer(key(3))) as Params;
  const maps = [4, 8, 16, 32, 64].map((stride) => ({ shape: [2, 64 / stride, 64 / stride] }));
  const anchors = anchorsOf(maps);
  const all = Float32Array.from(anchors.flatMap((part) => [...part]));
  const boxes = Float32Array.from([4, 4, 28, 28, 30, 34, 60, 62]);
  const bits = new Uint32Array(2 * 2 * 128);
  for (let thing = 0; thing < 2; thing++) {
    const [x0, y0, x1, y1] = boxes.subarray(4 * thing, 4 * thing + 4);
    for (let y = y0; y < y1; y++) {
      for (let x = x0; x < x1; x++) bits[thing * 128 + 2 * y + (x >> 5)] |= 1 << (x & 31);
    }
  }
  // The second image shows nothing.
  const targets = [boxes, new Float32Array()].map((truth, n) =>
    anchorTargets(all, truth, key(n), RULE.anchors)
  );
  let start = 0;
  const anchorTensors = anchors.map(({ length }) => {
    const [from, to] = [start / 4, (start += length) / 4];
    const part = (name: "labels" | "weights" | "deltas", size: number, ...shape: number[]) =>
      tensor(
        Float32Array.from(
          targets.flatMap((one) => [...one[name].subarray(from * size, to * size)]),
        ),
        [2, to - from, ...shape],
      );
    return { labels: part("labels", 1), weights: part("weights", 1), deltas: part("deltas", 4, 4) };
  });
  const truth = {
    filled: tensor([64, 64, 64, 64], [2, 2]),
    boxes: tensor(Float32Array.from([...boxes, ...new Float32Array(8)]), [2, 2, 4]),
    classes: tensor(Uint32Array.from([0, 1, 2, 2]), [2, 2]),
    masks: tensor(bits, [2, 2, 128]),
    keys: tensor(Uint32Array.from([1, 2, 3, 4]), [2, 2]),
  };
  const images = toTensor(random([2, 64, 64, 3], 5));
  const plan = await compile(device, ({ params, images }) => {
    const own = params as unknown as ReturnType<typeof initMaskRcnn>;
    const maps = maskRcnnMaps(own, TINY, images);
    const outputs = proposalOutputs(own, maps);
    const regions = trainingRegions(outputs, anchors, truth, [64, 64], 2, RULE);
    const losses = maskRcnnLosses(own, maps, outputs, anchorTensors, regions, RULE);
    const { classes, weights } = regions.boxes;
    return { losses, grads: grad(sumOf(losses), params), classes, weights };
  }, { params, images });
  const run = async () => {
    const { losses, grads, classes, weights } = await plan.runAsync({ params, images });
    const parts = entries<Tensor>({ losses, grads } as Params);
    const values = await readAll(device, [...parts.map(([, x]) => x), classes, weights]);
    return { paths: parts.map(([path]) => path), values };
  };
  const { paths, values } = await run();
  const silent = paths.filter((_, i) => values[i].every((value) => value === 0));
  // No block is global here, so its table is not read.
  assert.deepEqual(silent, [
    "grads.backbone.bottom_up.global_rel_pos_bias.relative_position_bias_table",
  ]);
  assert.ok(values.every((list) => list.every(Number.isFinite)));
  const [classes, weights] = values.slice(-2);
  assert.ok([0, 1].every((label) => classes.includes(label)), "both things are learnt from");
  const total = Array.from(weights).reduce((sum, weight) => sum + weight, 0);
  assert.ok(Math.abs(total - 1) < 1e-5, "a mean over the rows that count");
  assert.deepEqual((await run()).values, values);
});

/**
 * What a detector with random parameters finds, at most 20 things an image: boxes, scores, classes and
 * masks.
 *
 * @param seeds Of the images.
 */
async function thingsFound(seeds: readonly number[], before: number, after: number) {
  const device = await sharedDevice();
  const params = initMaskRcnn(TINY, initializer(key(3))) as Params;
  const rule = evaluationRuleOf({ before, after });
  const few = { ...rule, instances: { ...rule.instances, most: 20 } };
  const args = {
    params,
    images: tensor(
      Float32Array.from(seeds.flatMap((seed) => [...random([64, 64, 3], seed).data])),
      [seeds.length, 64, 64, 3],
    ),
    filled: tensor(seeds.flatMap(() => [48, 64]), [seeds.length, 2]),
  };
  const plan = await compile(
    device,
    ({ params, images, filled }) =>
      detectThings(params as never, TINY, images as Tensor, filled as Tensor, few),
    args,
  );
  const { boxes, scores, classes, masks } = await plan.runAsync(args);
  return await readAll(device, [boxes, scores, classes, masks]);
}

Deno.test("detectThings() finds in four images, whose proposals go in two parts, what it finds in each", async () => {
  const seeds = [5, 6, 7, 8];
  const together = await thingsFound(seeds, 300, 150); // 600 proposals
  for (const [n, seed] of seeds.entries()) {
    for (const [i, expected] of (await thingsFound([seed], 300, 150)).entries()) {
      const size = expected.length;
      close(together[i].subarray(n * size, (n + 1) * size), expected, 1e-5, `image ${n}`);
    }
  }
});

Deno.test("detectThings() gives boxes within the image, best first, and nothing in empty slots", async () => {
  const [edges, values, labels, shares] = await thingsFound([5], 60, 16);
  const n = labels.findIndex((label) => label === 2);
  const count = n < 0 ? labels.length : n;
  assert.ok(count > 0);
  for (let i = 0; i < labels.length; i++) {
    const [x0, y0, x1, y1] = edges.subarray(4 * i, 4 * i + 4);
    if (i >= count) {
      assert.deepEqual([labels[i], values[i], x0, y0, x1, y1], [2, 0, 0, 0, 0, 0]);
      continue;
    }
    assert.ok(x0 >= 0 && y0 >= 0 && x1 <= 64 && y1 <= 48 && x1 > x0 && y1 > y0);
    assert.ok(labels[i] < 2 && values[i] > 0.05 && (i === 0 || values[i] <= values[i - 1]));
  }
  assert.ok(shares.every((share) => share >= 0 && share <= 1));
});
