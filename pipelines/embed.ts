/**
 * A pretrained encoder as a function from images to vectors.
 *
 * @module
 */
import { evaluationCrop, normalise } from "../data/augment.ts";
import type { Image } from "../data/resize.ts";
import type { Device } from "../src/device.ts";
import { loadPretrained, type Pretrained, type PretrainedOptions } from "../src/pretrained.ts";
import { joinFeatures, type StoredFeatures } from "./eval/feature_file.ts";
import {
  type Encoder,
  extractFeatures,
  type FeatureOptions,
  prepareFeatures,
} from "./eval/features.ts";
import { readingOf } from "./eval/request.ts";
import { openSplits } from "./eval/splits.ts";
import { makeResident } from "./inference.ts";

export interface EmbeddingOptions
  extends PretrainedOptions, Omit<FeatureOptions, "layers" | "pooled"> {
  /** A name that `featuresOf` knows; the normalised mean of the final tokens unless given. */
  readonly layer?: string;
}

/** Embeddings of the images below a folder. */
export interface Embedded extends Pick<StoredFeatures, "names" | "labels" | "skipped"> {
  /** `[N, C]`. */
  readonly features: Float32Array;
}

/** An encoder on the device. */
export interface Embedding {
  /** Channels of an embedding, C. */
  readonly width: number;
  /**
   * Embeds all good images of a folder, list, shards or IDX file, in order.
   *
   * @throws {UsageError} If there are none.
   */
  embedFolder(path: string): Promise<Embedded>;
  /** Embeds a decoded image `[H, W, channels]` of any size, `[C]`. */
  embedImage(image: Image): Promise<Float32Array>;
  destroy(): void;
}

/**
 * Loads an encoder onto the device.
 *
 * @param model A file of weights, as `loadPretrained` takes it, or what that gives.
 * @throws {CheckpointError} If the file holds another model.
 * @throws {UsageError} If the model does not have the layer.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { decodeImage, openDevice, prepareEmbedding } from "@mcmae/mcmae";
 *
 * const checkpoint = "tests/golden/checkpoint_half_zip.pth";
 * const encoder = await prepareEmbedding(await openDevice(), checkpoint, { heads: 4 });
 * const { features, names } = await encoder.embedFolder("data/photos/tools"); // [N, C]
 * const one = await encoder.embedImage(await decodeImage(`data/photos/tools/${names[0]}`));
 * encoder.destroy();
 * assert.deepEqual([features.length, one.length], [names.length * encoder.width, encoder.width]);
 * ```
 */
export async function prepareEmbedding(
  device: Device,
  model: string | Pretrained,
  { layer = "global", ...options }: EmbeddingOptions = {},
): Promise<Embedding> {
  const loaded = typeof model === "string" ? await loadPretrained(model, options) : model;
  const { mean, std, crop: { width, height, cropPct } } = readingOf(loaded, options);
  const { params, free } = makeResident(device, loaded.params);
  const encoder: Encoder = { ...loaded, params };
  const layers = [layer];
  const single = await prepareFeatures(device, encoder, { layers, batch: 1 }).catch((error) => {
    free();
    throw error;
  });
  return {
    width: single.shapes[layer][0],
    async embedFolder(path) {
      const parts = [];
      for (const [split, source] of await openSplits(path, "all")) {
        parts.push(
          [split, await extractFeatures(device, encoder, source, { ...options, layers })] as const,
        );
      }
      const { features, names, labels, skipped } = joinFeatures(parts);
      return { features: features[layer], names, ...labels && { labels }, skipped };
    },
    async embedImage(image) {
      const crop = evaluationCrop(image, width, height, cropPct);
      const { [layer]: values } = await single.run(normalise(crop, mean, std), 1);
      return values;
    },
    destroy() {
      single.destroy();
      free();
    },
  };
}
