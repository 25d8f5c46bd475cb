import { fold, key } from "../../src/random.ts";
import { inAdvance, orders } from "../epochs.ts";
import { DataError } from "../dataset.ts";
import { parseRandAugment } from "../rand_augment.ts";
import type { ClipReading } from "./cache.ts";
import { checkCounts, type ClipFigures, type ClipOptions, ClipWorkers } from "./clip_workers.ts";
import { checkSampling, type Sampling } from "./sampling.ts";
import { checkDecoder } from "./video.ts";
import type { ViewSettings } from "./views.ts";

/** What to load; the batches depend on all but `workers`, `prefetch` and the cache's folder. */
export interface ClipLoadOptions
  extends ClipOptions, ClipReading, Omit<ViewSettings, "randAugment"> {
  readonly seed: number;
  /** Videos before the first one, over all epochs: `position` of the last batch of a run. */
  readonly start: number;
  readonly sampling: Sampling;
  /** Text of `parseRandAugment`; VideoMAE fine-tunes with `rand-m7-n4-mstd0.5-inc1`. */
  readonly randAugment?: string | null;
  /** Views of each clip (repeated augmentation, arXiv:1901.09335); 1 unless given. */
  readonly repeats?: number;
}

/** Training views of N videos, R each. */
export interface ClipBatch extends ClipFigures {
  /** RGB `[N · R, T, H, W, 3]`; the views of a clip are neighbours. */
  readonly clips: Uint8Array<ArrayBuffer>;
  readonly shape: readonly [views: number, T: number, H: number, W: number, channels: 3];
  /** Which video of the source each view shows `[N · R]`. */
  readonly indices: Uint32Array<ArrayBuffer>;
  /** Labels of these videos `[N · R]`, where the source has labels; -1 where one is unknown. */
  readonly labels?: Int32Array<ArrayBuffer>;
  /** Names of these videos `[N · R]`. */
  readonly names: readonly string[];
  /** Videos that are too short for the clip, so that frames are repeated. */
  readonly padded: number;
  /** Videos up to the end of this batch, over all epochs. */
  readonly position: number;
  /** Epoch of the batch's first video. */
  readonly epoch: number;
}

/** Geometric ops of VideoMAE's RandAugment: bicubic, with grey beyond the edge. */
const GEOMETRY = { interpolation: "bicubic", fill: [128, 128, 128] } as const;

/**
 * Loads shuffled, augmented batches of clips without end, in workers.
 *
 * Epoch e goes through `permutation(fold(key(seed), e))`, and a video's draws come from
 * `fold(key(seed), e, index)`, so a batch depends on its position alone: not on the number of
 * workers or their order, or where a run was resumed. A bad file's place is taken by the next good
 * one in the order of the epoch, with the draws of that place.
 *
 * With `repeats` R a clip is decoded once and shown in R views that differ in crop, flip, RandAugment
 * and erasing, but not in frames.
 *
 * Leaving a `for await` over it, or its `return()`, ends the workers.
 *
 * @throws {RangeError} If an option is out of its range.
 * @throws {DataError} If more than `maxBad` or all of the files are bad.
 * @throws {DecoderError} If the decoder cannot be used.
 * @throws {Error} If workers cannot start.
 */
export async function* loadClips(options: ClipLoadOptions): AsyncGenerator<ClipBatch, void, void> {
  checkOptions(options);
  const { source, seed, batch, start, repeats = 1, prefetch = 2, sampling, crop } = options;
  const { decoder, shortSide, cache, flip, filter, erase, randAugment: text } = options;
  const { length } = source;
  const root = key(seed);
  const randAugment = text ? { ...parseRandAugment(text), ...GEOMETRY } : undefined;
  const view = { crop, flip, filter, randAugment, erase };
  const reading = { decoder, shortSide, cache };
  using workers = new ClipWorkers(options, { kind: "train", ...reading, sampling, view, repeats });

  const orderOf = orders(root, length);

  const loadVideo = async (position: number) => {
    const epoch = Math.floor(position / length);
    const place = position % length;
    const order = orderOf(epoch);
    const videoKey = fold(root, epoch, order[place]);
    for (let next = place; next < place + length; next++) {
      const index = order[next % length];
      const found = await workers.load(index, videoKey);
      if (found) return { index, views: found.views!, padded: found.padded! };
    }
    const [first] = workers.skipped.values();
    throw new DataError(`Cannot load clips: all of ${length} are bad, first: ${first}`);
  };

  const { frames } = sampling;
  const { height, width } = crop;
  const size = repeats * frames * height * width * 3;
  const { skipped, warnings } = workers;
  const loadBatch = async (position: number): Promise<ClipBatch> => {
    const clips = new Uint8Array(batch * size);
    const indices = new Uint32Array(batch * repeats);
    const padded = await Promise.all(Array.from({ length: batch }, async (_, i) => {
      const { index, views, padded } = await loadVideo(position + i);
      clips.set(views, i * size);
      indices.fill(index, i * repeats, (i + 1) * repeats);
      return padded;
    }));
    const labels = workers.labels(indices);
    return {
      clips,
      shape: [batch * repeats, frames, height, width, 3],
      indices,
      ...(labels && { labels }),
      names: workers.names(indices),
      padded: padded.reduce((a, b) => a + b, 0),
      position: position + batch,
      epoch: Math.floor(position / length),
      ...{ skipped, warnings },
    };
  };

  yield* inAdvance({ start, batch, prefetch }, loadBatch);
}

function checkOptions(options: ClipLoadOptions): void {
  const { source: { length }, batch, workers, start, prefetch = 2, repeats = 1 } = options;
  const { crop, sampling, decoder = "node-av", randAugment, erase, shortSide = 1 } = options;
  const { width, height } = crop;
  checkCounts({ length, batch, workers, width, height, repeats, shortSide }, { start, prefetch });
  checkSampling(length, sampling);
  checkDecoder(decoder);
  if (randAugment) parseRandAugment(randAugment); // throws here, not in every worker
  const ranges = crop.kind === "random-resized"
    ? { scale: crop.scale, ratio: crop.ratio ?? [1, 1] }
    : {};
  for (const [name, [min, max]] of Object.entries(ranges)) {
    if (min > 0 && min <= max) continue;
    throw new RangeError(`Cannot load clips: ${name} is [${min}, ${max}], not a positive range`);
  }
  const scales = crop.kind === "multi-scale" ? crop.scales ?? [1] : [1];
  if (scales.length === 0 || !scales.every((scale) => scale > 0 && scale <= 1)) {
    throw new RangeError(`Cannot load clips: scales are [${scales}], not shares in 0–1`);
  }
  const { probability } = erase ?? { probability: 0 };
  if (!(probability >= 0 && probability <= 1)) {
    throw new RangeError(`Cannot erase: probability is ${probability}, not in 0–1`);
  }
}
