/** Golden passes of VideoMCMAE: pre-training, dense and visible-only, and the classifier. */
import { type Mask, tubeMaskFromNoise } from "../../data/mask.ts";
import { grad } from "../../src/grad.ts";
import {
  classifierFeatures,
  type ClassifierParams,
  logitsOf,
} from "../../src/models/classifier.ts";
import { clipGrid, cubeLoss, cubeTarget } from "../../src/models/clips.ts";
import { decode, type MaskedImages } from "../../src/models/decoder.ts";
import { encodeLayers, type VideoEncoderSettings } from "../../src/models/encoder.ts";
import { strideOf } from "../../src/models/mcmae.ts";
import {
  encodeVideo,
  type VideoMcmaeParams,
  type VideoMcmaeSettings,
} from "../../src/models/videomcmae.ts";
import { crossEntropy } from "../../src/ops/cross_entropy.ts";
import { permute } from "../../src/ops/shape.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import type { Tensor } from "../../src/tensor.ts";
import { boundOf, compare, type TensorCheck, VIDEO_BOUNDS } from "./check.ts";
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
import { atVisible, masked } from "./mcmae.ts";

/**
 * Compares a `videomcmae` file with this code: the dense evaluation at every position, then the
 * visible-only one, whose checks are named `visible:…`.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkVideoMcmae(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const settings = videoMcmaeSettings(file);
  const patch = strideOf(settings);
  const { grid: [S, GH, GW] } = clipGrid(settings, patch);
  const noise = floats(file, "noise");
  const tokens = { slots: S, cells: GH * GW };
  const samples = noise.length / tokens.cells;
  const mask = tubeMaskFromNoise(noise, samples, tokens, json(file, "mask_ratio"));
  yield* checkTubes(file, mask, samples, tokens);

  const batch = masked(mask, input(file, "videos"));
  const params = parameters<VideoMcmaeParams>(file);
  const wanted = namesUnder(file, "grad.");
  for (const evaluation of ["dense", "visible"] as const) {
    const results = await compute(await fixture.device(), ({ params, batch }) => {
      const inputs = clipsLast(batch);
      const { e1, e2, e3, embedded, fused, latent } = encodeVideo(
        params,
        { ...settings, evaluation },
        inputs,
      );
      const pred = decode(params, settings, latent, inputs);
      const loss = cubeLoss(pred, inputs, settings, patch);
      const map = (x: Tensor) => evaluation === "dense" ? permute(x, [0, 4, 1, 2, 3]) : x;
      const out = {
        ...{ E1: map(e1), E2: map(e2), E3: e3, patch_embed4: embedded },
        ...{ fused_before_norm: fused, latent, pred, loss },
        target: cubeTarget(inputs.images, settings, patch),
        loss_without_unnormalise: cubeLoss(pred, inputs, { ...settings, ...AS_GIVEN }, patch),
      };
      return { out, grad: grad(loss, pick(params, wanted)) };
    }, { params, batch });

    for (const [path, values] of results) {
      const name = path.replace(/^out\./, "");
      const bound = boundOf(path, VIDEO_BOUNDS);
      const expected = tensorOf(file, path);
      yield evaluation === "dense"
        ? compare(name, values, floats(file, path), bound)
        : compare(`visible:${name}`, values, atVisible(name, expected, mask, GW), bound);
    }
  }
}

/** Mean and deviation that leave normalised clips as they are. */
const AS_GIVEN = { mean: [0, 0, 0], std: [1, 1, 1] };

/**
 * Compares a `videomcmae_finetune` file with this code.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkVideoMcmaeFinetune(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const encoder = videoMcmaeSettings(file);
  const [first, second, third] = encoder.depths;
  yield* checkClipClassifier(fixture, encoder, (layers) => ({
    E1: permute(layers[`blocks1.${first - 1}`], [0, 4, 1, 2, 3]),
    E2: permute(layers[`blocks2.${second - 1}`], [0, 4, 1, 2, 3]),
    E3: layers[`blocks3.${third - 1}`],
    patch_embed4: layers.patch_embed4,
  }));
}

/** A classifier's features, logits, loss and gradients, and what else of its layers the file has. */
export async function* checkClipClassifier(
  { file, device }: Fixture,
  encoder: VideoEncoderSettings,
  others: (layers: Readonly<Record<string, Tensor>>) => Record<string, Tensor> = () => ({}),
): AsyncGenerator<TensorCheck> {
  const classes = json<number>(file, "num_classes");
  const classifier = { encoder, classes, pooling: "mean", dropPath: 0 } as const;
  const params = parameters<ClassifierParams>(file);
  const wanted = namesUnder(file, "grad.");
  const batch = { videos: input(file, "videos"), targets: input(file, "soft_targets") };
  const results = await compute(await device(), ({ params, batch }) => {
    const clips = permute(batch.videos, [0, 2, 3, 4, 1]);
    const features = classifierFeatures(params, classifier, clips);
    const logits = logitsOf(params, features);
    const loss = crossEntropy(logits, batch.targets);
    const out = { ...others(encodeLayers(params, encoder, clips)), features, logits, loss };
    return { out, grad: grad(loss, pick(params, wanted)) };
  }, { params, batch });
  for (const [path, values] of results) {
    const bound = boundOf(path, VIDEO_BOUNDS);
    yield compare(path.replace(/^out\./, ""), values, floats(file, path), bound);
  }
}

/** Settings of a golden VideoMCMAE: sizes from its parameters, the rest from its metadata. */
function videoMcmaeSettings(file: Safetensors): VideoMcmaeSettings {
  const [, channels, frames, height, width] = tensorOf(file, "videos").shape;
  const projection = (stage: number) =>
    tensorOf(file, `param.patch_embed${stage}.proj.weight`).shape;
  const [p1, p2, p3] = [1, 2, 3].map((stage) => projection(stage)[3]);
  const depthwise = tensorOf(file, "param.blocks1.0.attn.weight").shape;
  const hasDecoder = file.tensors.has("param.decoder_pred.weight");
  return {
    kind: "videomcmae",
    ...{ frames, imageSize: [height, width], channels },
    tubelet: projection(1)[2],
    patchSizes: [p1, p2, p3],
    embedDims: json(file, "embed_dim"),
    depths: json(file, "depth"),
    heads: json(file, "num_heads"),
    mlpRatios: json(file, "mlp_ratio"),
    kernelSize: depthwise[3],
    temporalKernel: depthwise[2],
    decoderDim: hasDecoder ? json(file, "decoder_embed_dim") : 0,
    decoderDepth: hasDecoder ? json(file, "decoder_depth") : 0,
    decoderHeads: hasDecoder ? json(file, "decoder_num_heads") : 1,
    decoderMlpRatio: hasDecoder ? json(file, "decoder_mlp_ratio") : 0,
    normPix: hasDecoder && json(file, "norm_target"),
    mean: hasDecoder ? json(file, "mean") : AS_GIVEN.mean,
    std: hasDecoder ? json(file, "std") : AS_GIVEN.std,
    masking: "tube",
    maskedConvolution: true,
    multiScaleDecoder: file.tensors.has("param.stage1_output_decode.weight"),
    evaluation: "visible",
  };
}

/** Indices and masks, which must be exact; the file's are per cell but for two. */
function* checkTubes(
  file: Safetensors,
  { keep, restore, removed, visible }: Mask,
  samples: number,
  { slots, cells }: { readonly slots: number; readonly cells: number },
): Generator<TensorCheck> {
  const kept = visible / slots;
  /** The first slot of each sample: there tokens are cells. */
  const first = <Values extends ArrayLike<number>>(values: Values, width: number) =>
    Array.from({ length: samples * width }, (_, i) => {
      const sample = Math.floor(i / width);
      return values[sample * slots * width + i % width];
    });
  const results = {
    ids_keep: first(keep, kept),
    // Removed cells come after the visible ones of all slots.
    ids_restore: first(restore, cells).map((place) =>
      place < visible ? place : kept + place - visible
    ),
    mask_spatial: first(removed, cells),
    ids_keep_tokens: keep,
    mask: removed,
  };
  for (const [name, values] of Object.entries(results)) {
    const expected = tensorOf(file, `out.${name}`).data as ArrayLike<number>;
    yield compare(name, values, expected, VIDEO_BOUNDS.exact);
  }
}

/** Clips `[N, C, T, H, W]`, as PyTorch has them, → `[N, T, H, W, C]`. */
export function clipsLast(batch: MaskedImages): MaskedImages {
  return { ...batch, images: permute(batch.images, [0, 2, 3, 4, 1]) };
}
