/** Golden backbones of detection: maps and every gradient. */
import { grad } from "../../src/grad.ts";
import type { DetectionBackboneSettings } from "../../src/models/detection_backbone.ts";
import { vitdetBackboneMaps, type VitdetBackboneParams } from "../../src/models/vitdet_backbone.ts";
import {
  windowedBackboneMaps,
  type WindowedBackboneParams,
} from "../../src/models/windowed_backbone.ts";
import { add, mul } from "../../src/ops/map.ts";
import { sum } from "../../src/ops/reduce.ts";
import { permute } from "../../src/ops/shape.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { sizeOf, type Tensor } from "../../src/tensor.ts";
import { compare, type TensorCheck } from "./check.ts";
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

/** Largest relative errors, by kind of file. */
const WINDOWED = { output: 3e-6, gradient: 1e-5 };
const VITDET = { output: 5e-6, gradient: 2e-5 };

/** Settings that both kinds of file have. */
function settingsOf(
  file: Safetensors,
  prefix: string,
  { imageSize, pretrained, mlpRatios }: {
    readonly imageSize: readonly [number, number];
    readonly pretrained: readonly [number, number];
    readonly mlpRatios: readonly [number, number, number];
  },
): Omit<DetectionBackboneSettings, "globalBlocks"> {
  const patch = (stage: number) => tensorOf(file, `${prefix}patch_embed${stage}.proj.weight`).shape;
  return {
    encoder: {
      ...{ kind: "mcmae", imageSize: pretrained, channels: patch(1)[1], mlpRatios },
      patchSizes: [patch(1)[2], patch(2)[2], patch(3)[2]],
      ...{ embedDims: json(file, "embed_dim"), depths: json(file, "depth") },
      heads: json(file, "num_heads"),
      kernelSize: tensorOf(file, `${prefix}blocks1.0.attn.weight`).shape[2],
      ...{ decoderDim: 0, decoderDepth: 0, decoderHeads: 1, maskedConvolution: true },
      ...{ masking: "block", multiScaleDecoder: false, evaluation: "dense", normPix: true },
    },
    ...{ imageSize, windowSize: json(file, "window_size") },
  };
}

/** Compares a `det_backbone_windowed` file: four maps, their loss, and every gradient. */
export function checkWindowedBackbone(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const side = json<number>(file, "image_size");
  const settings = {
    ...settingsOf(file, "param.", {
      ...{ imageSize: [side, side], pretrained: [side, side] },
      mlpRatios: json(file, "mlp_ratio"),
    }),
    ...{ globalBlocks: json<number[]>(file, "global_blocks"), shift: false },
  };
  return checkMaps<WindowedBackboneParams>(fixture, WINDOWED, (params, images) => {
    const maps = windowedBackboneMaps(params, settings, images);
    return Object.fromEntries(maps.map((map, i) => [`s${i}`, map]));
  });
}

/** Compares a `det_backbone_vitdet` file: a map, the pyramid of it, their loss, and every gradient. */
export function checkVitdetBackbone(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const ratio = json<number>(file, "mlp_ratio");
  const side = json<number>(file, "pretrain_img_size");
  const windowed = json<number[]>(file, "window_block_indexes");
  const blocks = json<number[]>(file, "depth")[2];
  const settings = {
    ...settingsOf(file, "param.net.", {
      ...{ imageSize: json(file, "image_hw"), pretrained: [side, side] },
      mlpRatios: [ratio, ratio, ratio],
    }),
    globalBlocks: Array.from({ length: blocks }, (_, i) => i).filter((i) => !windowed.includes(i)),
    outChannels: json<number>(file, "out_channels"),
  };
  return checkMaps<VitdetBackboneParams>(fixture, VITDET, (params, images) => {
    const { last, pyramid } = vitdetBackboneMaps(params, settings, images);
    const levels = pyramid.map((map, i) => [`p${i + 2}`, map] as const);
    return { last_feat: last, ...Object.fromEntries(levels) };
  });
}

async function* checkMaps<P>(
  { file, device }: Fixture,
  bounds: { readonly output: number; readonly gradient: number },
  mapsOf: (params: P, images: Tensor) => Record<string, Tensor>,
): AsyncGenerator<TensorCheck> {
  const params = parameters<P>(file);
  const wanted = namesUnder(file, "grad.");
  const cotangents = Object.fromEntries(
    namesUnder(file, "cotangent.").map((name) => [name, input(file, `cotangent.${name}`)]),
  );
  const results = await compute(await device(), ({ params, images, cotangents }) => {
    const maps = Object.entries(mapsOf(params, permute(images, [0, 2, 3, 1]))).map(
      ([name, map]) => [name, permute(map, [0, 3, 1, 2])] as const,
    );
    const loss = maps.map(([name, map]) =>
      mul(sum(mul(map, cotangents[name])), 1 / Math.sqrt(sizeOf(map.shape)))
    ).reduce((sum, part) => add(sum, part));
    return {
      out: { ...Object.fromEntries(maps), loss },
      grad: grad(loss, pick(params, wanted)),
    };
  }, { params, images: input(file, "images"), cotangents });
  for (const [path, values] of results) {
    const bound = path.startsWith("grad.") ? bounds.gradient : bounds.output;
    yield compare(path.replace(/^out\./, ""), values, floats(file, path), bound);
  }
}
