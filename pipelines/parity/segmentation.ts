/** Golden segmentation: backbone, heads in both modes, sliding windows, figures. */
import { grad } from "../../src/grad.ts";
import {
  backboneMaps,
  type BackboneParams,
  type BackboneSettings,
} from "../../src/models/backbone.ts";
import { byBatch, byRunning } from "../../src/models/batch_norm.ts";
import { AUXILIARY_WEIGHT, segment, type SegmenterParams } from "../../src/models/segmenter.ts";
import { pixelLoss, type SegmenterSettings } from "../../src/models/segmenter.ts";
import {
  fcnHead,
  type FcnHeadParams,
  uperHead,
  type UperHeadParams,
} from "../../src/models/upernet.ts";
import { labelCrossEntropy } from "../../src/ops/cross_entropy.ts";
import { add, mul } from "../../src/ops/map.ts";
import { sum } from "../../src/ops/reduce.ts";
import { resizeBilinear } from "../../src/ops/resample.ts";
import { permute } from "../../src/ops/shape.ts";
import type { Params } from "../../src/optim.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { sizeOf, type Tensor, tensor } from "../../src/tensor.ts";
import { entries, fromEntries } from "../../src/tree.ts";
import { SegmentationCount } from "../segment/metrics.ts";
import {
  cutWindow,
  highest,
  resizeScores,
  type Sides,
  softmaxInPlace,
  windowCorners,
  WindowMean,
} from "../segment/slide.ts";
import { boundOf, BOUNDS, check, compare, type TensorCheck, unknown } from "./check.ts";
import {
  compute,
  type Fixture,
  floats,
  input,
  json,
  namesUnder,
  parameters,
  pick,
  tensorOf,
} from "./fixture.ts";

/** Gradients of the pyramid's branch of one bin, of which a batch has few values to normalise. */
const ONE_BIN = 1e-4;
const COUNT = 1e-9;
const AGREEMENT = 1e-3; // share of pixels whose class may differ

/** `[N, C, H, W]` → `[N, H, W, C]`. */
function channelsLast(x: Tensor): Tensor {
  return permute(x, [0, 2, 3, 1]);
}

/** `[N, H, W, C]` → `[N, C, H, W]`. */
function channelsFirst(x: Tensor): Tensor {
  return permute(x, [0, 3, 1, 2]);
}

/** Settings of a golden backbone. */
function backboneSettings(file: Safetensors, prefix: string): BackboneSettings {
  const [, channels] = tensorOf(file, `${prefix}patch_embed1.proj.weight`).shape;
  const side = json<number>(file, "image_size");
  const patch = (stage: number) =>
    tensorOf(file, `${prefix}patch_embed${stage}.proj.weight`).shape[2];
  const shared = file.tensors.has(`${prefix}rel_pos_bias.relative_position_bias_table`);
  return {
    encoder: {
      ...{ kind: "mcmae", imageSize: [side, side], channels },
      patchSizes: [patch(1), patch(2), patch(3)],
      ...{ embedDims: json(file, "embed_dim"), depths: json(file, "depth") },
      ...{ heads: json(file, "num_heads"), mlpRatios: json(file, "mlp_ratio") },
      kernelSize: tensorOf(file, `${prefix}blocks1.0.attn.weight`).shape[2],
      ...{ decoderDim: 0, decoderDepth: 0, decoderHeads: 1, maskedConvolution: true },
      ...{ masking: "block", multiScaleDecoder: false, evaluation: "dense", normPix: true },
    },
    relativePositions: shared ? "shared" : "blocks",
    layerScale: json(file, "init_values"),
  };
}

/** Compares a `seg_backbone` file: four maps and every gradient. */
export async function* checkSegBackbone(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const settings = backboneSettings(file, "param.");
  const params = parameters<BackboneParams>(file);
  const wanted = namesUnder(file, "grad.");
  const cotangents = [0, 1, 2, 3].map((i) => input(file, `cotangent.feat${i}`));
  const results = await compute(await fixture.device(), ({ params, images, cotangents }) => {
    const maps = backboneMaps(params, settings, channelsLast(images), byRunning).map(channelsFirst);
    const loss = maps.map((map, i) =>
      mul(sum(mul(map, cotangents[i])), 1 / Math.sqrt(sizeOf(map.shape)))
    ).reduce((sum, part) => add(sum, part));
    const out = Object.fromEntries(maps.map((map, i) => [`feat${i}`, map]));
    return { out, grad: grad(loss, pick(params, wanted)) };
  }, { params, images: input(file, "images"), cotangents });
  for (const [path, values] of results) {
    yield compare(path.replace(/^out\./, ""), values, floats(file, path), boundOf(path));
  }
}

type Heads = { readonly decode_head: UperHeadParams; readonly auxiliary_head: FcnHeadParams };

/** Compares a `seg_upernet` file: both heads, by running moments and by the batch's. */
export async function* checkSegUpernet(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const params = parameters<Heads>(file);
  const label = tensorOf(file, "label");
  const labels = tensor(Uint32Array.from(label.data as Int32Array), label.shape);
  const classes = json<number>(file, "num_classes");
  const valid = (label.data as Int32Array).filter((value) => value < classes).length;
  const momentum = json<number>(file, "bn_momentum");
  const feats = [0, 1, 2, 3].map((i) => input(file, `feat${i}`));
  for (const mode of ["", "train."]) {
    const wanted = namesUnder(file, `grad.${mode}`).filter((name) => !name.startsWith("train."));
    const results = await compute(
      await fixture.device(),
      ({ params, feats, labels }) => {
        const batch = byBatch(params);
        const normalise = mode ? batch.normalise : byRunning;
        const maps = feats.map(channelsLast) as [Tensor, Tensor, Tensor, Tensor];
        const { logits, psp, joined } = uperHead(params.decode_head, maps, { normalise });
        const aux = fcnHead(
          params.auxiliary_head,
          maps[json<number>(file, "aux_in_index")],
          { normalise },
        );
        const [H, W] = labels.shape.slice(1);
        const validMean = (logits: Tensor) =>
          mul(sum(labelCrossEntropy(resizeBilinear(logits, [H, W]), labels)), 1 / valid);
        const [decode, auxiliary] = [pixelLoss(logits, labels), pixelLoss(aux, labels)];
        const total = add(decode, mul(auxiliary, AUXILIARY_WEIGHT));
        const inputs = Object.fromEntries(feats.map((feat, i) => [`feat${i}`, feat]));
        const out = {
          ...{ logits: channelsFirst(logits), aux_logits: channelsFirst(aux) },
          ...{ psp: channelsFirst(psp), fpn_bottleneck: channelsFirst(joined) },
          ...{ loss_decode: decode, loss_aux: auxiliary, loss_total: total },
          loss_decode_valid_mean: validMean(logits),
          loss_aux_valid_mean: validMean(aux),
        };
        const running = new Map(entries<Tensor>(params as Params));
        const after = Object.entries(batch.statistics()).map(([path, now]) =>
          [path, add(mul(running.get(path)!, 1 - momentum), mul(now, momentum))] as const
        );
        const leaves = { ...pick(params, wanted), ...pick(inputs, wanted) };
        return {
          out: fromEntries([
            ...Object.entries(out).map(([name, value]) => [`${mode}${name}`, value] as const),
            ...after.map(([path, value]) => [`train.buffers_after.${path}`, value] as const),
          ]) as Params,
          grad: fromEntries(
            Object.entries(grad(total, leaves)).map(([path, value]) =>
              [`${mode}${path}`, value as Tensor] as const
            ),
          ) as Params,
        };
      },
      { params, feats, labels },
    );
    for (const [path, values] of results) {
      yield compare(path.replace(/^out\./, ""), values, floats(file, path), boundFor(path));
    }
  }
}

function boundFor(path: string): number {
  if (path.startsWith("grad.train.decode_head.psp_modules.0.")) return ONE_BIN;
  return path.includes(".loss_") ? BOUNDS.loss : boundOf(path);
}

/** Compares a `seg_slide` file: a whole segmenter on windows of a larger image. */
export async function* checkSegSlide(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const classes = json<number>(file, "num_classes");
  const settings: SegmenterSettings = {
    ...backboneSettings(file, "param.backbone."),
    ...{
      classes,
      headChannels: json(file, "channels"),
      auxiliaryChannels: 0,
      dropout: 0,
      dropPath: 0,
    },
  };
  const params = parameters<SegmenterParams>(file);
  const [crop, stride] = [json<number>(file, "crop"), json<number>(file, "stride")];
  const { shape: [, channels, height, width], data } = tensorOf(file, "image");
  const pixels = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    pixels[i % (height * width) * channels + Math.floor(i / (height * width))] = Number(data[i]);
  }
  const image: Sides = [height, width];
  const sides: Sides = [crop, crop];
  const mean = new WindowMean(image, classes);
  const corners = windowCorners(image, sides, [stride, stride]);
  yield compare(
    "windows_y1y2x1x2",
    corners.flatMap(([top, left]) => [top, top + crop, left, left + crop]),
    json<number[][]>(file, "windows_y1y2x1x2").flat(),
    BOUNDS.exact,
  );
  const device = await fixture.device();
  for (const corner of corners) {
    const images = tensor(cutWindow(pixels, image, corner, sides), [1, crop, crop, channels]);
    const results = await compute(device, ({ params, images }) => ({
      scores: segment(params, settings, images),
    }), { params, images });
    mean.add(results.get("scores") as Float32Array, corner, sides);
  }
  const logits = mean.result();
  yield compare("count", mean.counts, floats(file, "out.count"), BOUNDS.exact);
  yield compare(
    "logits",
    planes(logits.scores, classes),
    floats(file, "out.logits"),
    BOUNDS.output,
  );
  const rescaled = resizeScores(logits, json<Sides>(file, "rescaled_to"));
  const shares = softmaxInPlace(rescaled.scores, classes);
  const expected = floats(file, "out.prob_rescaled");
  yield compare("prob_rescaled", planes(shares, classes), expected, BOUNDS.output);
  const predicted = highest(shares, classes);
  const labels = tensorOf(file, "out.argmax").data as Int32Array;
  const other = labels.filter((label, i) => label !== predicted[i]).length;
  yield check("argmax", other / labels.length, AGREEMENT);
}

/** `[H, W, K]` → `[K, H, W]`. */
function planes(scores: Float32Array, classes: number): Float32Array {
  const pixels = scores.length / classes;
  return scores.map((_, i) => scores[i % pixels * classes + Math.floor(i / pixels)]);
}

/** Compares a `seg_metrics` file: counts, and the figures of its metadata. */
export function* checkSegMetrics(file: Safetensors): Generator<TensorCheck> {
  const sets = new Set([...file.tensors.keys()].map((name) => name.split(".")[0]));
  for (const set of sets) {
    const expected = json<MetricsSet>(file, set);
    const count = new SegmentationCount(expected.num_classes);
    for (const name of namesUnder(file, `${set}.label`)) {
      const labels = tensorOf(file, `${set}.label${name}`).data as Uint8Array;
      const predictions = tensorOf(file, `${set}.pred${name}`).data as Uint8Array;
      const reduce = (label: number) => label === 0 || label === 255 ? 255 : label - 1;
      count.add(predictions, expected.reduce_zero_label ? labels.map(reduce) : labels);
    }
    for (const name of namesUnder(file, `${set}.out.`)) {
      const found = {
        intersect: count.intersect,
        union: count.union,
        pred: count.predicted,
        label: count.labelled,
      }[name];
      const path = `${set}.out.${name}`;
      yield found ? compare(path, found, floats(file, path), BOUNDS.exact) : unknown(path);
    }
    const { mIoU, mAcc, aAcc, iou, accuracy } = count.figures();
    const numbers = (values: readonly (number | null)[]) => values.map((value) => value ?? -1);
    const known = (values: readonly number[]) => values.map((x) => Number.isNaN(x) ? -1 : x);
    yield compare(`${set}.mIoU`, [mIoU], [expected.mIoU], COUNT);
    yield compare(`${set}.mAcc`, [mAcc], [expected.mAcc], COUNT);
    yield compare(`${set}.aAcc`, [aAcc], [expected.aAcc], COUNT);
    yield compare(`${set}.IoU`, known(iou), numbers(expected.IoU), COUNT);
    yield compare(`${set}.Acc`, known(accuracy), numbers(expected.Acc), COUNT);
  }
}

interface MetricsSet {
  readonly num_classes: number;
  readonly reduce_zero_label: boolean;
  readonly ignore_index: number;
  readonly aAcc: number;
  readonly mIoU: number;
  readonly mAcc: number;
  readonly IoU: readonly (number | null)[];
  readonly Acc: readonly (number | null)[];
}
