/**
 * The model that a checkpoint holds, told by the names and shapes of its tensors.
 *
 * @module
 */
import { CheckpointError } from "../checkpoint.ts";
import type { Shape } from "../tensor.ts";
import {
  checkNamed,
  HEADS,
  headsOf,
  holdsClips,
  record,
  Shapes,
  tailOf,
} from "./checkpoint_shapes.ts";
import type { AutoencoderSettings } from "./decoder.ts";
import type { VideoEncoderSettings } from "./encoder.ts";
import type { MaeSettings } from "./mae.ts";
import type { McmaeSettings } from "./mcmae.ts";

/** What no shape tells; what the file says of itself goes before it. */
export interface Hints {
  readonly heads?: number;
  readonly decoderHeads?: number;
  /** Of the images that the checkpoint was trained on, where they are no squares. */
  readonly imageSize?: readonly [number, number];
  /** Of the clips that it was trained on; 16 unless given. */
  readonly frames?: number;
  /** Of the file: `model`, `mean` and `std` of ours as JSON, `args` of the published code. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** What a checkpoint holds. */
export interface InferredModel<
  Settings extends McmaeSettings | MaeSettings | VideoEncoderSettings = McmaeSettings | MaeSettings,
> {
  /** Where it has no decoder, the published one is named. */
  readonly settings: Settings;
  readonly hasDecoder: boolean;
  /** Outputs of the classifier's head, if it has one. */
  readonly classes?: number;
  /** What the classifier's head takes: the mean of the tokens (`fc_norm`), or the first one. */
  readonly pooling?: "mean" | "token";
  /** Of each channel of its images, if the file says so. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** Share of the resized image that its evaluation crops take, if the file says so. */
  readonly cropPct?: number;
}

/** The published decoder. */
const DECODER = { decoderDim: 512, decoderDepth: 8, decoderHeads: 16 } as const;

/**
 * Tells settings from shapes: of MCMAE and MAE, after pretraining or finetuning.
 *
 * What neither shapes nor metadata tell is as published: block-wise masks, masked convolutions,
 * normalised targets.
 *
 * @param shapes Shapes of the model's tensors, by PyTorch's names.
 * @throws {CheckpointError} If it is another model, or something must be said that it does not
 * tell, such as `model.heads`.
 */
export function inferSettings(
  shapes: ReadonlyMap<string, Shape>,
  hints: Hints = {},
): InferredModel {
  if (holdsClips(shapes)) throw new CheckpointError("it is a model of clips, not of images");
  const { metadata = {} } = hints;
  const named = record(metadata.model) as Partial<McmaeSettings | MaeSettings> | undefined;
  const known = { ...knownOf(hints), ...named && knownOf(named) };
  if (named?.heads !== undefined && hints.heads !== undefined && named.heads !== hints.heads) {
    throw new CheckpointError(`it says heads = ${named.heads}, not ${hints.heads}`);
  }
  const file = new Shapes(shapes, "no MCMAE and no MAE");
  const normPix = named?.normPix ?? record(metadata.args)?.norm_pix_loss !== false;
  const settings = shapes.has("patch_embed1.proj.weight")
    ? mcmaeSettings(file, known, normPix)
    : shapes.has("patch_embed.proj.weight")
    ? maeSettings(file, known, normPix)
    : undefined;
  if (!settings) {
    throw new CheckpointError("it is no MCMAE and no MAE: it has no patch_embed.proj.weight");
  }
  const hasDecoder = shapes.has("decoder_pred.weight");
  if (named) checkNamed(named, settings, hasDecoder);
  return {
    settings: { ...settings, ...named } as McmaeSettings | MaeSettings,
    hasDecoder,
    ...tailOf(file, metadata),
  };
}

type Known = Partial<Pick<AutoencoderSettings, "heads" | "decoderHeads" | "imageSize">>;

function mcmaeSettings(file: Shapes, known: Known, normPix: boolean): McmaeSettings {
  const stages = [1, 2, 3] as const;
  const patches = stages.map((i) => file.get(`patch_embed${i}.proj.weight`, 4));
  const embedDims = patches.map(([width]) => width) as [number, number, number];
  const patchSizes = patches.map(([, , size]) => size) as [number, number, number];
  const depths = stages.map((i) => file.count(`blocks${i}`)) as [number, number, number];
  const mlpRatios = stages.map((i) => file.ratio(`blocks${i}`, embedDims[i - 1]));
  const convolution = stages.find((i) => depths[i - 1] > 0 && i < 3);
  const stride = patchSizes.reduce((product, size) => product * size);
  return {
    kind: "mcmae",
    ...shared(file, known, { width: embedDims[2], stride, extra: 0 }),
    channels: patches[0][1],
    normPix,
    patchSizes,
    embedDims,
    depths,
    mlpRatios: mlpRatios as [number, number, number],
    kernelSize: convolution ? file.get(`blocks${convolution}.0.attn.weight`, 4)[3] : 5,
    maskedConvolution: true,
    masking: "block",
    multiScaleDecoder: file.has("stage1_output_decode.weight"),
    evaluation: "visible",
  };
}

function maeSettings(file: Shapes, known: Known, normPix: boolean): MaeSettings {
  const [embedDim, channels, patchSize] = file.get("patch_embed.proj.weight", 4);
  file.get("cls_token", 3);
  return {
    kind: "mae",
    ...shared(file, known, { width: embedDim, stride: patchSize, extra: 1 }),
    channels,
    normPix,
    patchSize,
    embedDim,
    depth: file.count("blocks"),
    mlpRatio: file.ratio("blocks", embedDim),
  };
}

/** Image size, heads and decoder. */
function shared(
  file: Shapes,
  known: Known,
  { width, stride, extra }: { width: number; stride: number; extra: number },
): Pick<
  AutoencoderSettings,
  "imageSize" | "heads" | "decoderDim" | "decoderDepth" | "decoderHeads"
> {
  const tokens = file.get("pos_embed", 3)[1] - extra;
  const side = stride * Math.sqrt(tokens);
  const imageSize = known.imageSize ?? [side, side];
  const [H, W] = imageSize;
  if (
    !imageSize.every((size) => Number.isInteger(size / stride)) ||
    H * W !== tokens * stride * stride
  ) {
    throw new CheckpointError(
      `its ${tokens} positions of ${stride} × ${stride} pixels are no image of ${
        known.imageSize ? `${H} × ${W}` : "equal sides"
      }: give model.imageSize=H,W`,
    );
  }
  const heads = headsOf("heads", width, known.heads ?? HEADS[width]);
  if (!file.has("decoder_embed.weight")) return { imageSize, heads, ...DECODER };
  const [decoderDim] = file.get("decoder_embed.weight", 2);
  const published = decoderDim === DECODER.decoderDim ? DECODER.decoderHeads : HEADS[decoderDim];
  return {
    imageSize,
    heads,
    decoderDim,
    decoderDepth: file.count("decoder_blocks"),
    decoderHeads: headsOf("decoderHeads", decoderDim, known.decoderHeads ?? published),
  };
}

function knownOf({ heads, decoderHeads, imageSize }: Known): Known {
  return {
    ...heads !== undefined && { heads },
    ...decoderHeads !== undefined && { decoderHeads },
    ...Array.isArray(imageSize) && { imageSize },
  };
}
