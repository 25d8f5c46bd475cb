/**
 * The recipe of a run on clips: what images have not is how frames are read and chosen.
 *
 * @module
 */
import type { DecoderName } from "../../data/clips/video.ts";
import type { Sampling } from "../../data/clips/sampling.ts";
import type { ClipCrop } from "../../data/clips/views.ts";
import type { VideoMaeSettings } from "../../src/models/videomae.ts";
import type { VideoMcmaeSettings } from "../../src/models/videomcmae.ts";
import type {
  AdamWFields,
  MemorySettings,
  Recipe,
  RunSettings,
  SampleSettings,
} from "../recipe.ts";
import { UsageError } from "../usage.ts";
import {
  positiveIntegers,
  strideOf,
  validateAdamW,
  validateDecoder,
  validateEncoder,
  validateRun,
  validateScale,
  within,
} from "../validate.ts";

/** Clips, and how they are read and augmented. */
export interface ClipDataSettings extends SampleSettings {
  /** Folder that an annotation's paths begin from; `null` for the annotation's own. */
  readonly root: string | null;
  /** What decodes videos; the frames are the same. */
  readonly decoder: DecoderName;
  /** `dense`: frames a stride apart; `segments`: one of each equal part, as for SSv2. */
  readonly sampling: Sampling["kind"];
  /** Frames from one to the next, for `dense`. */
  readonly stride: number;
  /** Short side of decoded frames, in pixels: what the cache keeps. */
  readonly shortSide: number;
  readonly crop: {
    /** Multi-scale crops of TSN, which VideoMAE pretrains with, or of random area and aspect. */
    readonly kind: ClipCrop["kind"];
    /** Shares of the area, for `random-resized`. */
    readonly scale: readonly [number, number];
    /** Whether half of the clips are mirrored: not where classes tell left from right. */
    readonly flip: boolean;
  };
}

/** A model of clips, but for the mean and deviation of its pixels, which the data has. */
export type VideoModel =
  | Omit<VideoMcmaeSettings, "mean" | "std">
  | Omit<VideoMaeSettings, "mean" | "std">;

/** Settings of one pretraining run on clips. */
export interface VideoRecipe extends RunSettings {
  readonly model: VideoModel;
  readonly memory: MemorySettings;
  /** Share of the tokens that are removed. */
  readonly maskRatio: number;
  readonly optimizer: AdamWFields;
  readonly data: ClipDataSettings;
}

/** Whether a recipe is of clips. */
export function isVideo(recipe: Recipe | VideoRecipe): recipe is VideoRecipe {
  return "frames" in recipe.model;
}

/** A recipe's model, whole. */
export function modelOf(
  { model, data: { mean, std } }: {
    readonly model: VideoModel;
    readonly data: Pick<SampleSettings, "mean" | "std">;
  },
): VideoMcmaeSettings | VideoMaeSettings {
  return { ...model, mean, std };
}

/** How a recipe chooses the frames of a clip. */
export function samplingOf(
  { model: { frames }, data: { sampling: kind, stride } }: {
    readonly model: Pick<VideoModel, "frames">;
    readonly data: Pick<ClipDataSettings, "sampling" | "stride">;
  },
): Sampling {
  return { kind, frames, stride };
}

/** How a recipe crops training clips. */
export function cropOf(
  { model: { imageSize: [height, width] }, data: { crop: { kind, scale } } }: {
    readonly model: Pick<VideoModel, "imageSize">;
    readonly data: Pick<ClipDataSettings, "crop">;
  },
): ClipCrop {
  return kind === "multi-scale" ? { kind, width, height } : { kind, width, height, scale };
}

/**
 * Checks that a recipe describes a run that can start.
 *
 * @throws {UsageError} For the first value that does not fit; it names the field and, where there
 * is one, the remedy.
 */
export function validateVideo(recipe: VideoRecipe): void {
  const { model, data, maskRatio } = recipe;
  validateVideoModel(model);
  const [name, ratio] = model.kind === "videomcmae"
    ? ["model.decoderMlpRatio", model.decoderMlpRatio] as const
    : ["model.mlpRatio", model.mlpRatio] as const;
  validateDecoder(model, name, ratio);
  validateRun(recipe, model.channels);
  validateClips(data);
  validateAdamW(recipe.optimizer);
  validateClipMasking(model, maskRatio);
}

/** @throws {UsageError} If a ratio keeps no token, or all. */
export function validateClipMasking(model: VideoModel, maskRatio: number): void {
  within("maskRatio", maskRatio, maskRatio > 0 && maskRatio < 1, "between 0 and 1");
  const [height, width] = model.imageSize;
  const cells = (height / strideOf(model)) * (width / strideOf(model));
  const tokens = model.masking === "tube" ? cells : cells * model.frames / model.tubelet;
  const removed = Math.trunc(maskRatio * tokens);
  if (removed === 0 || removed === tokens) {
    throw new UsageError(
      `Recipe field maskRatio = ${maskRatio} removes ${removed} of ${tokens} ` +
        `${
          model.masking === "tube" ? "cells" : "tokens"
        }: use a larger model.imageSize or another ` +
        "ratio",
    );
  }
}

/** @throws {UsageError} If an encoder of clips cannot be made so. */
export function validateVideoModel(model: VideoModel): void {
  const { frames, tubelet, channels } = model;
  validateEncoder(model);
  positiveIntegers("model.frames", frames);
  positiveIntegers("model.tubelet", tubelet);
  const fits = frames % tubelet === 0;
  within("model.frames", frames, fits, `a multiple of model.tubelet = ${tubelet}`);
  within("model.channels", channels, channels === 3, "3, as videos have");
  if (model.kind === "videomcmae") {
    const { temporalKernel } = model;
    const isOdd = Number.isSafeInteger(temporalKernel) && temporalKernel > 0 &&
      temporalKernel % 2 === 1;
    within("model.temporalKernel", temporalKernel, isOdd, "a positive odd integer");
  }
}

/** @throws {UsageError} If clips cannot be read or cropped so. */
export function validateClips({ stride, shortSide, crop }: ClipDataSettings): void {
  positiveIntegers("data.stride", stride);
  positiveIntegers("data.shortSide", shortSide);
  validateScale(crop.scale);
}
