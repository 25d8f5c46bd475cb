// Makes views of images with their masks, for the loaders.

import type { Key } from "../../src/random.ts";
import { normaliser } from "../augment.ts";
import { DataError } from "../dataset.ts";
import { decodeImage } from "../decode.ts";
import { serve } from "../pool.ts";
import { applyLabelRule, type LabelRule } from "./label_rule.ts";
import { decodeMask } from "./mask.ts";
import { rescaledSize, resizeImage, type Scale } from "./resize.ts";
import { maskView, type MaskViewSettings, padMask, padPixels, type Pair } from "./views.ts";

/** How pairs are read, and images normalised. */
export interface MaskReading {
  readonly channels: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly rule: LabelRule;
}

/** What every worker gets at its start, to make training views. */
export interface MaskTrainingSetup extends MaskReading {
  readonly kind: "train";
  readonly view: MaskViewSettings;
}

/** What every worker gets at its start, to make evaluation views. */
export interface MaskEvaluationSetup extends MaskReading {
  readonly kind: "evaluate";
  /** What images are resized to; they keep their size if null. */
  readonly scale: Scale | null;
}

/** A pair; `key` decides all draws of training views. */
export interface MaskJob {
  readonly image: string;
  readonly mask: string;
  readonly key?: Key;
}

/** A view of a pair. */
export interface MaskView {
  /** Normalised `[height, width, C]`. */
  readonly pixels: Float32Array<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
  /** Of another size than the image in evaluation. */
  readonly mask: Pair["mask"];
}

/** A view, or why the pair is bad. */
export type MaskAnswer = MaskView | { readonly reason: string };

serve<MaskTrainingSetup | MaskEvaluationSetup, MaskJob, MaskAnswer>((setup) => {
  const view = viewer(setup);
  return async (job) => {
    try {
      const answer = view(await readPair(job, setup), job.key);
      return { answer, transfer: [answer.pixels.buffer, answer.mask.labels.buffer] };
    } catch (error) {
      // Bad data are for the loader to judge; anything else is a fault here and ends the worker.
      if (!(error instanceof DataError)) throw error;
      return { answer: { reason: error.message } };
    }
  };
});

/** Reads a pair whole, so that whether it is good does not depend on what a view shows of it. */
async function readPair(
  { image: imagePath, mask: maskPath }: MaskJob,
  { channels, rule }: MaskReading,
): Promise<Pair> {
  const image = await decodeImage(imagePath, channels);
  const mask = await decodeMask(maskPath);
  if (mask.width !== image.width || mask.height !== image.height) {
    throw new DataError(
      `Cannot use mask ${maskPath}: it has ${mask.width} × ${mask.height} pixels, ` +
        `its image ${imagePath} has ${image.width} × ${image.height}`,
    );
  }
  return { image, mask: applyLabelRule(mask, rule, maskPath) };
}

function viewer(
  setup: MaskTrainingSetup | MaskEvaluationSetup,
): (pair: Pair, key?: Key) => MaskView {
  const normalise = normaliser(setup.mean, setup.std);
  if (setup.kind === "evaluate") {
    return ({ image, mask }) => {
      const { width, height } = rescaledSize(image, setup.scale, 1);
      return { pixels: normalise(resizeImage(image, { width, height })), width, height, mask };
    };
  }
  const { view: settings, rule } = setup;
  const { crop } = settings;
  return (pair, key) => {
    const { image, mask } = maskView(pair, settings, rule, key!);
    return {
      pixels: padPixels(normalise(image), image, crop),
      ...{ width: crop.width, height: crop.height },
      mask: padMask(mask, crop, rule.ignoreIndex),
    };
  };
}
