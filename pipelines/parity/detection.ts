/** Golden primitives of Mask R-CNN: what the device computes of them. The file's maps are `[N, C, H, W]`. */
import { targetsOfLabels } from "../../src/detection/anchor_targets.ts";
import { BOX_WEIGHTS, encodeBoxes } from "../../src/detection/box_deltas.ts";
import { takeRows } from "../../src/detection/boxes.ts";
import { regionsByLevel } from "../../src/detection/levels.ts";
import { grad } from "../../src/grad.ts";
import { byRunning } from "../../src/models/batch_norm.ts";
import { featurePyramid, type FpnParams } from "../../src/models/fpn.ts";
import {
  boxHead,
  type BoxHeadParams,
  maskHead,
  type MaskHeadParams,
  poolRegions,
} from "../../src/models/roi_heads.ts";
import { boxLoss, maskLoss } from "../../src/models/roi_losses.ts";
import { proposalLoss, rpnHead, type RpnHeadParams } from "../../src/models/rpn.ts";
import { mul } from "../../src/ops/map.ts";
import { sum } from "../../src/ops/reduce.ts";
import { roiAlign } from "../../src/ops/roi_align.ts";
import { permute, reshape } from "../../src/ops/shape.ts";
import type { Params } from "../../src/optim.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { sizeOf, type Tensor, tensor } from "../../src/tensor.ts";
import { compare, type TensorCheck } from "./check.ts";
import { anchorsOf, checkDetectionBoxes, integers, numbered } from "./detection_boxes.ts";
import { checkDetectionMasks, maskTargetsOf } from "./detection_masks.ts";
import { compute, type Fixture, floats, input, json, parameters, tensorOf } from "./fixture.ts";

/** The file's own bounds, tighter than a model's. */
const OUTPUT = 3e-6;
const REGION = 5e-6;

/** Compares a `detection_ops` file, block by block. */
export async function* checkDetectionOps(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const device = await fixture.device();
  yield* checkDetectionBoxes(file);
  yield* checkDetectionMasks(file);
  const units: Unit[] = [...regionUnits(file), ...lossUnits(file), ...layerUnits(file)];
  for (const { name, args, fn } of units) {
    const bound = name.startsWith("roi_align") ? REGION : OUTPUT;
    for (const [path, values] of await compute(device, fn, args)) {
      yield compare(`${name}.${path}`, values, floats(file, `${name}.${path}`), bound);
    }
  }
}

/** A block of the file: what it computes, by the rest of the names of its tensors. */
interface Unit<Args extends Params = Params> {
  readonly name: string;
  readonly args: Args;
  // deno-lint-ignore no-explicit-any -- a list holds units of different arguments
  readonly fn: (args: any) => Params;
}

function unit<Args extends Params>(
  name: string,
  args: Args,
  fn: (args: Args) => Params,
): Unit<Args> {
  return { name, args, fn };
}

const channelsLast = (x: Tensor) => permute(x, [0, 2, 3, 1]);
const channelsFirst = (x: Tensor) => permute(x, [0, 3, 1, 2]);

function u32(file: Safetensors, name: string): Tensor {
  return tensor(Uint32Array.from(integers(file, name)), tensorOf(file, name).shape);
}

/** RoIAlign in its variants, and the pooler of a pyramid. */
function* regionUnits(file: Safetensors): Generator<Unit> {
  const { spatial_scale: scale } = json<{ spatial_scale: number }>(file, "roi_align");
  for (const name of file.tensors.keys()) {
    const found = name.match(/^(roi_align\.sr(\d+)_out(\d+)_aligned(\d))\.out$/);
    if (!found) continue;
    const [samplingRatio, output, aligned] = found.slice(2).map(Number);
    const { shape } = tensorOf(file, name);
    const cotangent = tensor(Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i)), [
      ...shape,
    ]);
    yield unit(found[1], {
      ...{ features: input(file, "roi_align.features"), rois: input(file, "roi_align.rois") },
      cotangent,
    }, ({ features, rois, cotangent }) => {
      const options = { scale, output, samplingRatio, aligned: aligned === 1 };
      const out = channelsFirst(roiAlign(channelsLast(features), rois, options));
      return { out, grad_features: grad(sum(mul(out, cotangent)), [features])[0] };
    });
  }
  const boxes = numbered(file, "roipooler.boxes_img");
  const slots = Math.max(...boxes.map(({ length }) => length / 4));
  const regions = regionsByLevel(boxes, slots);
  // The file has no empty rows.
  const rows = boxes.flatMap(({ length }, image) =>
    Array.from({ length: length / 4 }, (_, i) => image * slots + i)
  );
  for (const name of file.tensors.keys()) {
    const found = name.match(/^(roipooler\.out(\d+))\.out$/);
    if (!found) continue;
    yield unit(found[1], {
      maps: [2, 3, 4, 5].map((level) => input(file, `roipooler.feat_p${level}`)),
      regions: regions.map((list) => tensor(takeRows(list, rows, 5), [rows.length, 5])),
    }, ({ maps, regions }) => ({
      out: channelsFirst(poolRegions(maps.map(channelsLast), regions, Number(found[2]))),
    }));
  }
}

/** Heads and losses, with gradients of what goes into a loss. */
function* lossUnits(file: Safetensors): Generator<Unit> {
  yield rpnUnit(file);
  const boxes = floats(file, "fastrcnn.proposal_boxes");
  const [rows, columns] = tensorOf(file, "fastrcnn.deltas").shape;
  const classes = integers(file, "fastrcnn.gt_classes");
  const K = columns / 4;
  const share = (isCounted: (label: number) => boolean) =>
    tensor(Float32Array.from(classes, (label) => isCounted(label) ? 1 / rows : 0));
  const deltas = encodeBoxes(boxes, floats(file, "fastrcnn.gt_boxes"), BOX_WEIGHTS);
  yield unit("fastrcnn", {
    ...{ logits: input(file, "fastrcnn.logits"), deltas: input(file, "fastrcnn.deltas") },
    targets: {
      ...{ classes: u32(file, "fastrcnn.gt_classes"), deltas: tensor(deltas, [rows, 4]) },
      ...{ weights: share(() => true), thingWeights: share((label) => label < K) },
    },
  }, ({ logits, deltas, targets }) => {
    const shaped = reshape(deltas, [rows, K, 4]);
    const { classification, localisation } = boxLoss({ logits, deltas: shaped }, targets);
    const [dLogits] = grad(classification, [logits]);
    const [dDeltas] = grad(localisation, [deltas]);
    return {
      out: { loss_cls: classification, loss_box_reg: localisation },
      grad: { logits: dLogits, deltas: dDeltas },
    };
  });
  const { shape } = tensorOf(file, "mask.logits");
  for (const kind of ["bitmask", "polygon"] as const) {
    const masks = Float32Array.from(maskTargetsOf(file, kind));
    yield unit("mask", {
      logits: input(file, "mask.logits"),
      targets: {
        classes: u32(file, "mask.gt_classes"),
        weights: tensor(new Float32Array(shape[0]).fill(1 / shape[0])),
        masks: tensor(masks, [shape[0], shape[2], shape[3]]),
      },
    }, ({ logits, targets }) => {
      const loss = maskLoss(channelsLast(logits), targets);
      return {
        out: { [`${kind}_loss`]: loss },
        grad: { [`${kind}_logits`]: grad(loss, [logits])[0] },
      };
    });
  }
}

function rpnUnit(file: Safetensors): Unit {
  const levels = anchorsOf(file);
  const anchors = Float32Array.from(levels.flatMap((level) => [...level]));
  const truths = numbered(file, "rpn.gt_boxes_img");
  const images = truths.map((truth, i) =>
    targetsOfLabels(
      anchors,
      truth,
      integers(file, `rpn.sampled_labels_img${i}`),
      integers(file, `rpn.matched_idx_img${i}`),
    )
  );
  const N = images.length;
  const sampled = json<{ batch_size_per_image: number }>(file, "rpn").batch_size_per_image;
  let start = 0;
  const targets = levels.map(({ length }) => {
    const A = length / 4;
    const first = start;
    start += A;
    const join = (name: keyof typeof images[number], size: number) =>
      Float32Array.from(images.flatMap((image) => [
        ...image[name].subarray(first * size, (first + A) * size),
      ]));
    return {
      labels: tensor(join("labels", 1), [N, A]),
      weights: tensor(join("weights", 1), [N, A]),
      deltas: tensor(join("deltas", 4), [N, A, 4]),
    };
  });
  return unit("rpn", {
    params: parameters<RpnHeadParams>(file, "rpn.param."),
    maps: levels.map((_, i) => input(file, `rpn.feat_p${i + 2}`)),
    targets,
  }, ({ params, maps, targets }) => {
    const outputs = rpnHead(params, maps.map(channelsLast));
    const { objectness, localisation } = proposalLoss(outputs, targets, sampled);
    const dLogits = grad(objectness, outputs.map(({ logits }) => logits));
    const dDeltas = grad(localisation, outputs.map(({ deltas }) => deltas));
    const each = (name: string, list: readonly Tensor[]) =>
      list.map((value, level) => [`${name}${level}`, value] as const);
    return {
      out: {
        ...Object.fromEntries(each("logits", outputs.map(({ logits }) => logits))),
        ...Object.fromEntries(each("deltas", outputs.map(({ deltas }) => deltas))),
        ...{ loss_rpn_cls: objectness, loss_rpn_loc: localisation },
      },
      grad: Object.fromEntries([...each("logits", dLogits), ...each("deltas", dDeltas)]),
    };
  });
}

/** The pyramid with every norm, and what is in front of the predictors. */
function* layerUnits(file: Safetensors): Generator<Unit> {
  const kinds = new Set(
    file.tensors.keys().map((name) => name.match(/^fpn\.(\w+)\.out\./)?.[1])
      .filter((kind) => kind !== undefined),
  );
  for (const kind of kinds) {
    yield unit(`fpn.${kind}`, {
      params: parameters<FpnParams>(file, `fpn.${kind}.param.`),
      maps: [0, 1, 2, 3].map((i) => input(file, `fpn.${kind}.in.s${i}`)),
    }, ({ params, maps }) => {
      const pyramid = featurePyramid(params, maps.map(channelsLast), byRunning);
      return {
        out: Object.fromEntries(pyramid.map((map, i) => [`p${i + 2}`, channelsFirst(map)])),
      };
    });
  }
  yield unit("box_head", {
    params: parameters<BoxHeadParams>(file, "box_head.param."),
    x: input(file, "box_head.in"),
  }, ({ params, x }) => ({ out: boxHead(params, channelsLast(x), byRunning) }));
  yield unit("mask_head", {
    params: parameters<MaskHeadParams>(file, "mask_head.param."),
    x: input(file, "mask_head.in"),
  }, ({ params, x }) => ({ out: channelsFirst(maskHead(params, channelsLast(x), byRunning)) }));
}
