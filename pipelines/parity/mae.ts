/** Golden pre-training pass of MAE with a plain ViT. */
import { maskFromNoise } from "../../data/mask.ts";
import { grad } from "../../src/grad.ts";
import { decode, patchLoss } from "../../src/models/decoder.ts";
import { encodeMae, type MaeParams, type MaeSettings } from "../../src/models/mae.ts";
import { gridOf, patchify, unpatchify } from "../../src/models/patches.ts";
import { permute, reshape } from "../../src/ops/shape.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { boundOf, compare, type TensorCheck } from "./check.ts";
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
import { checkMask, masked, withChannelsLast } from "./mcmae.ts";

/**
 * Compares a `mae_vit` file with this code.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkMaeVit(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const settings = maeSettings(file);
  const { patchSize } = settings;
  const [GH, GW] = gridOf(settings.imageSize, patchSize);
  const noise = floats(file, "noise");
  const samples = noise.length / (GH * GW);
  const mask = maskFromNoise(noise, samples, GH * GW, json(file, "mask_ratio"));
  yield* checkMask(file, mask);

  const batch = masked(mask, input(file, "images"));
  const params = parameters<MaeParams>(file);
  const wanted = namesUnder(file, "grad.");
  const results = await compute(await fixture.device(), ({ params, batch }) => {
    const inputs = withChannelsLast(batch);
    const latent = encodeMae(params, settings, inputs);
    const pred = decode(params, settings, latent, inputs);
    const loss = patchLoss(pred, inputs, settings, patchSize);
    const [n, L, P] = pred.shape;
    const pixels = unpatchify(reshape(pred, [n, GH, GW, P]), patchSize);
    const out = {
      ...{ latent, pred, loss },
      unpatchify_pred: permute(pixels, [0, 3, 1, 2]),
      target_patches: reshape(patchify(inputs.images, patchSize), [n, L, P]),
    };
    return { out, grad: grad(loss, pick(params, wanted)) };
  }, { params, batch });

  for (const [path, values] of results) {
    if (!file.tensors.has(path)) continue; // the file pins fewer outputs
    yield compare(path.replace(/^out\./, ""), values, floats(file, path), boundOf(path));
  }
}

function maeSettings(file: Safetensors): MaeSettings {
  const [, channels, height, width] = tensorOf(file, "images").shape;
  return {
    kind: "mae",
    imageSize: [height, width],
    channels,
    patchSize: tensorOf(file, "param.patch_embed.proj.weight").shape[2],
    embedDim: json(file, "embed_dim"),
    depth: json(file, "depth"),
    heads: json(file, "num_heads"),
    mlpRatio: json(file, "mlp_ratio"),
    decoderDim: json(file, "decoder_embed_dim"),
    decoderDepth: json(file, "decoder_depth"),
    decoderHeads: json(file, "decoder_num_heads"),
    normPix: json(file, "norm_pix_loss"),
  };
}
