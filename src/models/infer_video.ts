/**
 * The model of clips that a checkpoint holds, told by the names and shapes of its tensors.
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
import type { ClipSettings } from "./clips.ts";
import type { VideoEncoderSettings } from "./encoder.ts";
import type { Hints, InferredModel } from "./infer.ts";
import type { VideoMaeSettings } from "./videomae.ts";
import type { VideoMcmaeSettings } from "./videomcmae.ts";

/** VideoMAE's: its decoder, what it normalises pixels with (ImageNet's), and its clips. */
const DECODER = { decoderDim: 384, decoderDepth: 4, decoderHeads: 6 } as const;
const MEAN = [0.485, 0.456, 0.406] as const;
const STD = [0.229, 0.224, 0.225] as const;
const FRAMES = 16;
const IMAGE_SIZE = [224, 224] as const;

/**
 * Tells settings from shapes: of VideoMCMAE and VideoMAE, after pretraining or fine-tuning.
 *
 * What neither shapes nor metadata tell is as published: 16 frames, tube masks, masked convolutions,
 * normalised targets; of VideoMAE, which stores no positions, clips of 224 × 224 pixels.
 *
 * @param shapes Shapes of the model's tensors, by PyTorch's names.
 * @throws {CheckpointError} If it is another model, or something must be said that it does not
 * tell, such as `model.heads`.
 */
export function inferVideoSettings(
  shapes: ReadonlyMap<string, Shape>,
  hints: Hints = {},
): InferredModel<VideoEncoderSettings> {
  const { metadata = {} } = hints;
  const named = record(metadata.model) as Partial<VideoEncoderSettings> | undefined;
  if (named?.heads !== undefined && hints.heads !== undefined && named.heads !== hints.heads) {
    throw new CheckpointError(`it says heads = ${named.heads}, not ${hints.heads}`);
  }
  const isImages = ["patch_embed1", "patch_embed"].some((name) =>
    shapes.has(`${name}.proj.weight`)
  );
  if (isImages && !holdsClips(shapes)) {
    throw new CheckpointError("it is a model of images, not of clips");
  }
  const file = new Shapes(shapes, "no VideoMCMAE and no VideoMAE");
  const tail = tailOf(file, metadata);
  const args = record(metadata.args);
  const known: Known = {
    ...{ mean: tail.mean ?? MEAN, std: tail.std ?? STD, masking: "tube" },
    normPix: args?.normlize_target !== false, // as the published code spells it
    ...hints,
    ...named,
  };
  const settings = shapes.has("patch_embed1.proj.weight")
    ? videoMcmaeSettings(file, known)
    : videoMaeSettings(file, known);
  const hasDecoder = shapes.has("decoder_pred.weight") || shapes.has("decoder.head.weight");
  if (named) checkNamed(named, settings, hasDecoder);
  return {
    settings: { ...settings, ...named } as VideoEncoderSettings,
    hasDecoder,
    ...tail,
  };
}

type Known =
  & Pick<ClipSettings, "mean" | "std" | "masking" | "normPix">
  & Partial<Pick<ClipSettings, "heads" | "decoderHeads" | "imageSize" | "frames">>
  & Partial<Pick<VideoMaeSettings, "initValues">>;

function videoMcmaeSettings(file: Shapes, known: Known): VideoMcmaeSettings {
  const stages = [1, 2, 3] as const;
  const patches = stages.map((i) => file.get(`patch_embed${i}.proj.weight`, 5));
  const embedDims = patches.map(([width]) => width) as [number, number, number];
  const patchSizes = patches.map((shape) => shape[3]) as [number, number, number];
  const depths = stages.map((i) => file.count(`blocks${i}`)) as [number, number, number];
  const mlpRatios = stages.map((i) => file.ratio(`blocks${i}`, embedDims[i - 1]));
  const convolution = stages.find((i) => depths[i - 1] > 0 && i < 3);
  const [, , temporalKernel, kernelSize] = convolution
    ? file.get(`blocks${convolution}.0.attn.weight`, 5)
    : [0, 0, 5, 5];
  const stride = patchSizes.reduce((product, size) => product * size);
  const [, channels, tubelet] = patches[0];
  const hasDecoder = file.has("decoder_embed.weight");
  const decoderDim = hasDecoder ? file.get("decoder_embed.weight", 2)[0] : DECODER.decoderDim;
  return {
    kind: "videomcmae",
    ...{ channels, tubelet, patchSizes, embedDims, depths, kernelSize, temporalKernel },
    ...shared(known),
    ...sizesOf(file, known, stride, tubelet),
    heads: headsOf("heads", embedDims[2], known.heads ?? HEADS[embedDims[2]]),
    ...decoderOf(decoderDim, hasDecoder ? file.count("decoder_blocks") : undefined, known),
    mlpRatios: mlpRatios as [number, number, number],
    decoderMlpRatio: file.ratio("decoder_blocks", decoderDim),
    maskedConvolution: true,
    multiScaleDecoder: file.has("stage1_output_decode.weight"),
    evaluation: "visible",
  };
}

function videoMaeSettings(file: Shapes, known: Known): VideoMaeSettings {
  const encoder = file.has("encoder.patch_embed.proj.weight") ? "encoder." : "";
  const [embedDim, channels, tubelet, patchSize] = file.get(
    `${encoder}patch_embed.proj.weight`,
    5,
  );
  const blocks = `${encoder}blocks`;
  const hasDecoder = file.has("encoder_to_decoder.weight");
  const decoderDim = hasDecoder ? file.get("encoder_to_decoder.weight", 2)[0] : DECODER.decoderDim;
  const isScaled = file.has(`${blocks}.0.gamma_1`);
  return {
    kind: "videomae",
    ...{ channels, tubelet, patchSize, embedDim },
    ...shared(known),
    ...{ imageSize: known.imageSize ?? IMAGE_SIZE, frames: known.frames ?? FRAMES },
    depth: file.count(blocks),
    mlpRatio: file.ratio(blocks, embedDim),
    heads: headsOf("heads", embedDim, known.heads ?? HEADS[embedDim]),
    ...decoderOf(decoderDim, hasDecoder ? file.count("decoder.blocks") : undefined, known),
    initValues: isScaled ? known.initValues || 0.1 : 0, // what they began with is not stored
  };
}

function shared({ mean, std, masking, normPix }: Known) {
  return { mean, std, masking, normPix };
}

/** @param depth Undefined where there is no decoder. */
function decoderOf(decoderDim: number, depth: number | undefined, { decoderHeads }: Known) {
  if (depth === undefined) return DECODER;
  return {
    decoderDim,
    decoderDepth: depth,
    // 64 channels a head in all of the published decoders: 192, 384 and 512 wide.
    decoderHeads: headsOf("decoderHeads", decoderDim, decoderHeads),
  };
}

/** Frames and image size, as many as there are positions. */
function sizesOf(
  file: Shapes,
  known: Known,
  stride: number,
  tubelet: number,
): Pick<ClipSettings, "frames" | "imageSize"> {
  const tokens = file.get("pos_embed", 3)[1];
  const { frames = FRAMES } = known;
  const side = stride * Math.sqrt(tokens * tubelet / frames);
  const { imageSize = [side, side] as const } = known;
  const [H, W] = imageSize;
  const isWhole = [H / stride, W / stride, frames / tubelet].every(Number.isInteger);
  if (isWhole && (H * W / stride ** 2) * (frames / tubelet) === tokens) {
    return { frames, imageSize };
  }
  throw new CheckpointError(
    `its ${tokens} positions of ${tubelet} × ${stride} × ${stride} pixels are no clip of ${frames} ` +
      `frames${
        known.imageSize ? ` of ${H} × ${W}` : " of equal sides"
      }: give model.imageSize=H,W ` +
      "or model.frames=N",
  );
}
