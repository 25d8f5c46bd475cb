/** Golden passes of VideoMAE with a plain ViT: pre-training, and the classifier. */
import { IMAGENET_MEAN, IMAGENET_STD } from "../../data/augment.ts";
import type { Mask } from "../../data/mask.ts";
import { grad } from "../../src/grad.ts";
import { clipPositions, cubeLoss, cubeTarget } from "../../src/models/clips.ts";
import {
  decodeVideoMae,
  encodeVideoMae,
  type VideoMaeParams,
  type VideoMaeSettings,
} from "../../src/models/videomae.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { warmupCosineSteps } from "../../src/schedule.ts";
import type { HostArray } from "../../src/tensor.ts";
import { boundOf, check, compare, relativeError, type TensorCheck, VIDEO_BOUNDS } from "./check.ts";
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
import { masked } from "./mcmae.ts";
import { checkClipClassifier, clipsLast } from "./videomcmae.ts";

/** Results that the file has for removed tokens alone, in the order of the clip. */
const REMOVED_ONLY = ["out.pred", "out.labels", "out.labels_unnormalised"];

/**
 * Compares a `videomae` file with this code.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkVideoMae(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const settings: VideoMaeSettings = {
    ...videoMaeSettings(file, "encoder.", "encoder_"),
    decoderDim: json(file, "decoder_embed_dim"),
    decoderDepth: json(file, "decoder_depth"),
    decoderHeads: json(file, "decoder_num_heads"),
    normPix: json(file, "normlize_target"),
  };
  const { patchSize } = settings;
  for (const table of ["encoder_pos_embed", "decoder_pos_embed"]) {
    const { shape: [, L, width] } = tensorOf(file, table);
    const { source } = clipPositions(L, width);
    yield compare(
      table,
      (source as { data: HostArray }).data,
      floats(file, table),
      VIDEO_BOUNDS.output,
    );
  }
  const mask = recordedRemoval(file);
  const batch = masked(mask, input(file, "videos"));
  const params = parameters<VideoMaeParams>(file);
  const wanted = namesUnder(file, "grad.");
  const results = await compute(await fixture.device(), ({ params, batch }) => {
    const inputs = clipsLast(batch);
    const latent = encodeVideoMae(params, settings, inputs);
    const pred = decodeVideoMae(params, settings, latent, inputs);
    const loss = cubeLoss(pred, inputs, settings, patchSize);
    const labels = cubeTarget(inputs.images, settings, patchSize);
    const plain = cubeTarget(inputs.images, { ...settings, normPix: false }, patchSize);
    const out = { latent, pred, loss, labels, labels_unnormalised: plain };
    return { out, grad: grad(loss, pick(params, wanted)) };
  }, { params, batch });
  for (const [path, values] of results) {
    const found = REMOVED_ONLY.includes(path) ? rowsWhere(mask.removed, values) : values;
    const bound = boundOf(path, VIDEO_BOUNDS);
    yield compare(path.replace(/^out\./, ""), found, floats(file, path), bound);
  }
}

/**
 * Compares a `videomae_finetune` file with this code.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkVideoMaeFinetune(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  yield* checkClipClassifier(fixture, videoMaeSettings(file));
  const schedule = json<ScheduleArguments>(file, "cosine_schedule_args");
  const steps = schedule.epochs * schedule.niter_per_ep;
  const rates = Array.from({ length: steps }, (_, step) =>
    warmupCosineSteps({
      lr: schedule.base_value,
      minLr: schedule.final_value,
      startLr: schedule.start_warmup_value,
      warmupSteps: schedule.warmup_epochs * schedule.niter_per_ep,
      steps,
    }, step));
  const exact = json<number[]>(file, "cosine_schedule_f64");
  yield check("cosine_schedule (float64)", relativeError(rates, exact), 1e-12);
  yield compare("cosine_schedule", rates, floats(file, "out.cosine_schedule"), VIDEO_BOUNDS.loss);
}

interface ScheduleArguments {
  readonly base_value: number;
  readonly final_value: number;
  readonly epochs: number;
  readonly niter_per_ep: number;
  readonly warmup_epochs: number;
  readonly start_warmup_value: number;
}

/** Settings of a golden VideoMAE without its decoder; `named` goes before names in the metadata. */
function videoMaeSettings(file: Safetensors, prefix = "", named = ""): VideoMaeSettings {
  const [, channels, frames, height, width] = tensorOf(file, "videos").shape;
  const [, , tubelet, patchSize] = tensorOf(file, `param.${prefix}patch_embed.proj.weight`).shape;
  return {
    kind: "videomae",
    ...{ frames, imageSize: [height, width], channels, tubelet, patchSize },
    embedDim: json(file, `${named}embed_dim`),
    depth: json(file, `${named}depth`),
    heads: json(file, `${named}num_heads`),
    mlpRatio: json(file, "mlp_ratio"),
    initValues: json(file, "init_values"),
    ...{ decoderDim: 0, decoderDepth: 0, decoderHeads: 1, normPix: false },
    ...{ masking: "tube", mean: IMAGENET_MEAN, std: IMAGENET_STD },
  };
}

/** The mask that a file gives token by token, 1 where one is removed: all stay in order. */
function recordedRemoval(file: Safetensors): Mask {
  const { shape: [n, L], data } = tensorOf(file, "mask");
  const removed = Float32Array.from(data as ArrayLike<number>);
  const restore = new Uint32Array(n * L);
  const keep: number[] = [];
  const visible = removed.filter((flag) => flag === 0).length / n;
  for (let sample = 0; sample < n; sample++) {
    let [kept, gone] = [0, visible];
    for (let token = 0; token < L; token++) {
      const isRemoved = removed[sample * L + token] === 1;
      if (!isRemoved) keep.push(token);
      restore[sample * L + token] = isRemoved ? gone++ : kept++;
    }
  }
  return { keep: Uint32Array.from(keep), restore, removed, visible };
}

/** The rows of an array whose flag is set. */
function rowsWhere(flags: Float32Array, values: HostArray): Float32Array {
  const width = values.length / flags.length;
  return Float32Array.from(values).filter((_, i) => flags[Math.floor(i / width)] === 1);
}
