/** Golden pre-training passes of MCMAE: every output and gradient, dense and visible-only. */
import { type Mask, maskFromNoise } from "../../data/mask.ts";
import { grad } from "../../src/grad.ts";
import { decode, type MaskedImages, patchLoss } from "../../src/models/decoder.ts";
import { encode, type McmaeParams, type McmaeSettings, strideOf } from "../../src/models/mcmae.ts";
import { gridOf } from "../../src/models/patches.ts";
import { permute } from "../../src/ops/shape.ts";
import type { Safetensor, Safetensors } from "../../src/safetensors.ts";
import { type Tensor, tensor } from "../../src/tensor.ts";
import { boundOf, BOUNDS, compare, type TensorCheck } from "./check.ts";
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

/**
 * Compares a `pretrain_mcmae` file with this code: the dense evaluation at every position, then the
 * visible-only one, whose checks are named `visible:…`.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkPretrainMcmae(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const settings = mcmaeSettings(file);
  const mask = recordedMask(file, "noise", settings);
  yield* checkMask(file, mask);
  const images = input(file, "images");
  const batch = masked(mask, images);
  const params = parameters<McmaeParams>(file);
  const wanted = namesUnder(file, "grad.");
  const device = await fixture.device();
  const [, GW] = gridOf(settings.imageSize, strideOf(settings));

  for (const evaluation of ["dense", "visible"] as const) {
    const results = await compute(device, ({ params, batch }) => {
      const inputs = withChannelsLast(batch);
      const { e1, e2, e3, embedded, fused, latent } = encode(
        params,
        { ...settings, evaluation },
        inputs,
      );
      const pred = decode(params, settings, latent, inputs);
      const loss = patchLoss(pred, inputs, settings, strideOf(settings));
      const map = (x: Tensor) => evaluation === "dense" ? permute(x, [0, 3, 1, 2]) : x;
      const out = {
        ...{ E1: map(e1), E2: map(e2), E3: e3, patch_embed4: embedded },
        ...{ fused_before_norm: fused, latent, pred, loss },
      };
      return { out, grad: grad(loss, pick(params, wanted)) };
    }, { params, batch });

    for (const [path, values] of results) {
      const expected = file.tensors.get(path);
      if (!expected) continue; // the file pins fewer outputs
      const name = path.replace(/^out\./, "");
      if (evaluation === "dense") {
        yield compare(name, values, floats(file, path), boundOf(path));
      } else {
        yield compare(
          `visible:${name}`,
          values,
          atVisible(name, expected, mask, GW),
          boundOf(path),
        );
      }
    }
  }
}

/**
 * Settings of a golden MCMAE: sizes from its parameters, the rest from its metadata.
 *
 * @throws {RangeError} If one of them is missing.
 */
export function mcmaeSettings(file: Safetensors): McmaeSettings {
  const [, channels, height, width] = tensorOf(file, "images").shape;
  const projection = (stage: number) =>
    tensorOf(file, `param.patch_embed${stage}.proj.weight`).shape;
  const [p1, p2, p3] = [1, 2, 3].map((stage) => projection(stage)[2]);
  return {
    kind: "mcmae",
    imageSize: [height, width],
    channels,
    patchSizes: [p1, p2, p3],
    embedDims: json(file, "embed_dim"),
    depths: json(file, "depth"),
    heads: json(file, "num_heads"),
    mlpRatios: json(file, "mlp_ratio"),
    decoderDim: json(file, "decoder_embed_dim"),
    decoderDepth: json(file, "decoder_depth"),
    decoderHeads: json(file, "decoder_num_heads"),
    kernelSize: tensorOf(file, "param.blocks1.0.attn.weight").shape[2],
    maskedConvolution: true,
    masking: "block",
    multiScaleDecoder: file.tensors.has("param.stage1_output_decode.weight"),
    evaluation: "visible",
    normPix: json(file, "norm_pix_loss"),
  };
}

/** The mask that a golden file's noise gives. */
export function recordedMask(file: Safetensors, name: string, settings: McmaeSettings): Mask {
  const [GH, GW] = gridOf(settings.imageSize, strideOf(settings));
  const noise = floats(file, name);
  return maskFromNoise(noise, noise.length / (GH * GW), GH * GW, json(file, "mask_ratio"));
}

/** Indices and mask, which must be exact. */
export function* checkMask(file: Safetensors, mask: Mask): Generator<TensorCheck> {
  const results = { ids_keep: mask.keep, ids_restore: mask.restore, mask: mask.removed };
  for (const [name, values] of Object.entries(results)) {
    const expected = file.tensors.get(`out.${name}`)?.data as ArrayLike<number> | undefined;
    if (expected) yield compare(name, values, expected, BOUNDS.exact);
  }
}

/** A batch with its mask; images as they are. */
export function masked(mask: Mask, images: Tensor): MaskedImages & Record<string, Tensor> {
  const [n] = images.shape;
  return {
    images,
    keep: tensor(mask.keep, [n, mask.visible]),
    restore: tensor(mask.restore, [n, mask.restore.length / n]),
    removed: tensor(mask.removed, [n, mask.removed.length / n]),
  };
}

/** Images `[N, C, H, W]`, as PyTorch has them, → `[N, H, W, C]`. */
export function withChannelsLast(batch: MaskedImages): MaskedImages {
  return { ...batch, images: permute(batch.images, [0, 2, 3, 1]) };
}

/**
 * The part of dense golden values that visible-only evaluation computes.
 *
 * @param GW Tokens in a row.
 */
export function atVisible(
  name: string,
  expected: Safetensor,
  mask: Mask,
  GW: number,
): Float32Array {
  const data = expected.data as Float32Array;
  const { shape } = expected;
  if (/^E[12]$/.test(name)) return visibleBlocks(data, shape, mask, GW);
  if (name !== "patch_embed4") return data;
  const [n, L, C] = shape;
  return Float32Array.from({ length: n * mask.visible * C }, (_, i) => {
    const row = Math.floor(i / C);
    const sample = Math.floor(row / mask.visible);
    return data[(sample * L + mask.keep[row]) * C + i % C];
  });
}

/** `[N, C, H, W]`, or of clips `[N, C, S, H, W]` → the blocks of visible tokens, `[N, V, s, s, C]`. */
function visibleBlocks(
  data: Float32Array,
  shape: readonly number[],
  { keep, visible }: Mask,
  GW: number,
): Float32Array {
  const [n, C] = shape;
  const [W, H, S = 1] = shape.slice(2).toReversed();
  const s = W / GW;
  const cells = H / s * GW;
  const blocks = new Float32Array(n * visible * s * s * C);
  let i = 0;
  for (const [block, token] of keep.entries()) {
    const sample = Math.floor(block / visible);
    const [slot, cell] = [Math.floor(token / cells), token % cells];
    const [top, left] = [Math.floor(cell / GW) * s, (cell % GW) * s];
    for (let y = top; y < top + s; y++) {
      for (let x = left; x < left + s; x++) {
        for (let c = 0; c < C; c++) {
          blocks[i++] = data[(((sample * C + c) * S + slot) * H + y) * W + x];
        }
      }
    }
  }
  return blocks;
}
