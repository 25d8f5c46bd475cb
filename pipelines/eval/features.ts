/**
 * Features of many images, from any layers of a pretrained model.
 *
 * @module
 */
import { sampleName } from "../../data/place.ts";
import type { ImageSource } from "../../data/source.ts";
import type { Device } from "../../src/device.ts";
import {
  type EncoderParams,
  featureNames,
  featuresOf,
  layerNames,
} from "../../src/models/encoder.ts";
import type { Params } from "../../src/optim.ts";
import type { Pretrained } from "../../src/pretrained.ts";
import { type Shape, sizeOf } from "../../src/tensor.ts";
import { type Inference, inferInOrder, prepareInference } from "../inference.ts";
import { UsageError } from "../usage.ts";
import { readingOf } from "./request.ts";

/** A model with its parameters on the host or the device. */
export type Encoder = Pick<Pretrained, "settings" | "params" | "hasDecoder" | "mean" | "std">;

export interface FeatureOptions {
  /** Names that `featuresOf` knows; the normalised mean of the final tokens unless given. */
  readonly layers?: readonly string[];
  /** Whether maps and tokens become their mean; they do unless given. */
  readonly pooled?: boolean;
  /** Images that the device gets at once; as many as fit, up to 32, unless given. */
  readonly batch?: number;
  /** Threads that decode; 1 unless given. */
  readonly workers?: number;
  /** Of the pixels; as the file says, else ImageNet's, unless given. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** Share of the resized image's side that the crop takes; as published unless given. */
  readonly cropPct?: number;
  /** Is told how many images are done. */
  readonly onProgress?: (done: number) => void;
}

/** Features of N images, the bad ones left out. */
export interface Features {
  /** Values by layer. */
  readonly features: Readonly<Record<string, Float32Array<ArrayBuffer>>>;
  /** Shapes of them: `[N, C]`; maps `[N, H, W, C]` and tokens `[N, L, C]` if not pooled. */
  readonly shapes: Readonly<Record<string, Shape>>;
  /** Which image of the source each row is of. */
  readonly indices: Uint32Array;
  /** -1 where one is unknown. */
  readonly labels?: Int32Array;
  readonly names: readonly string[];
  /** Bad files, with the reason. */
  readonly skipped: ReadonlyMap<string, string>;
  readonly warnings: ReadonlySet<string>;
}

/** Names of the features that a model has. */
export function featuresIn({ settings, params, hasDecoder }: Encoder): string[] {
  const lacks: string[] = [];
  if (!hasDecoder) lacks.push("latent"); // a classifier's norm was trained on something else
  if (!("norm" in params)) lacks.push("cls");
  return [...featureNames(settings), ...layerNames(settings)].filter((name) =>
    !lacks.includes(name)
  );
}

/** @throws {UsageError} If a model does not have one of the features. */
export function checkFeatures(encoder: Encoder, names: readonly string[]): void {
  const known = featuresIn(encoder);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown === undefined && names.length > 0) return;
  throw new UsageError(
    `The model has no feature ${unknown ?? "without a name"}: choose from ${known.join(", ")}`,
  );
}

/**
 * Compiles a model for its features.
 *
 * @param batch Images at once; as many as the device can bind, up to `most`, unless given.
 * @throws {UsageError} If it does not have one of them.
 */
export async function prepareFeatures(
  device: Device,
  encoder: Encoder,
  { layers = ["global"], pooled = true, batch }: Pick<
    FeatureOptions,
    "layers" | "pooled" | "batch"
  >,
  most = 32,
): Promise<Inference> {
  checkFeatures(encoder, layers);
  const { settings } = encoder;
  const { imageSize, channels } = settings;
  return await fitting(batch, most, (batch) =>
    prepareInference(
      device,
      { batch, imageSize, channels },
      encoder.params as Params,
      (params, images) => featuresOf(params as EncoderParams, settings, images, layers, pooled),
    ));
}

/**
 * Prepares for the largest batch that the device takes: 32, 16 … unless one is given.
 *
 * @param most Images that there are.
 * @throws {RangeError} If it does not even take one image, or the batch that is given.
 */
export async function fitting(
  given: number | undefined,
  most: number,
  prepare: (batch: number) => Promise<Inference>,
): Promise<Inference> {
  for (let batch = Math.min(given ?? 32, most);; batch = Math.floor(batch / 2)) {
    try {
      return await prepare(batch);
    } catch (error) {
      // Tensors too large to bind, or too little memory.
      if (!(error instanceof RangeError) || given !== undefined || batch === 1) throw error;
    }
  }
}

/**
 * Computes features of a source's images, in their order; bad ones are left out and listed.
 *
 * @throws {UsageError} If the model does not have one of the features.
 * @throws {RangeError} If they do not fit into memory.
 * @throws {DataError} If all images are bad.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { extractFeatures, loadPretrained, openDevice, openImages } from "@mcmae/mcmae";
 *
 * const pretrained = await loadPretrained("tests/golden/checkpoint_half_zip.pth", { heads: 4 });
 * const { train } = await openImages({ path: "data/photos/tools" });
 * const { features, names } = await extractFeatures(await openDevice(), pretrained, train);
 * assert.equal(features.global.length, names.length * 16); // [N, C]
 * ```
 */
export async function extractFeatures(
  device: Device,
  encoder: Encoder,
  source: ImageSource,
  options: FeatureOptions = {},
): Promise<Features> {
  const { workers = 1, onProgress } = options;
  const inference = await prepareFeatures(device, encoder, options, source.length);
  try {
    const sizes = Object.entries(inference.shapes).map(([name, shape]) =>
      [name, sizeOf(shape)] as const
    );
    const values = sizes.map(([, size]) => allocate(source.length, size));
    const indices = new Uint32Array(source.length);
    let found = 0;
    let [skipped, warnings]: [Features["skipped"], Features["warnings"]] = [new Map(), new Set()];
    const loading = { source, workers, ...readingOf(encoder, options) };
    for await (const batch of inferInOrder(inference, loading)) {
      sizes.forEach(([name, size], i) => values[i].set(batch.values[name], found * size));
      indices.set(batch.indices, found);
      found += batch.indices.length;
      ({ skipped, warnings } = batch);
      onProgress?.(found);
    }
    const rows = indices.subarray(0, found);
    const { labels } = source;
    return {
      ...{ skipped, warnings },
      features: Object.fromEntries(
        sizes.map(([name, size], i) => [name, values[i].subarray(0, found * size)]),
      ),
      shapes: Object.fromEntries(
        Object.entries(inference.shapes).map(([name, shape]) => [name, [found, ...shape]]),
      ),
      indices: rows,
      ...labels && { labels: Int32Array.from(rows, (index) => labels[index]) },
      names: Array.from(rows, (index) => sampleName(source, index)),
    };
  } finally {
    inference.destroy();
  }
}

function allocate(rows: number, size: number): Float32Array<ArrayBuffer> {
  try {
    return new Float32Array(rows * size);
  } catch (cause) {
    const gigabytes = (4 * rows * size / 2 ** 30).toFixed(1);
    throw new RangeError(
      `Cannot hold ${gigabytes} GiB of features: choose fewer images, or pooled ones`,
      { cause },
    );
  }
}
