import type { ClipReading } from "./cache.ts";
import { checkCounts, type ClipFigures, type ClipOptions, ClipWorkers } from "./clip_workers.ts";
import { checkSampling, type Sampling } from "./sampling.ts";
import { checkDecoder } from "./video.ts";
import { testBoxes, type TestCrops } from "./views.ts";

/** What to evaluate on. */
export interface ClipEvaluationOptions extends ClipOptions, ClipReading {
  readonly sampling: Sampling;
  /** Clips of each video: 5 for Kinetics, 2 for SSv2 in the published protocols. */
  readonly clips: number;
  readonly crops: TestCrops;
}

/** All views of N videos, M clips × S crops each. */
export interface ClipViewBatch extends ClipFigures {
  /** RGB `[N · M · S, T, H, W, 3]`: video by video, clip by clip, crop by crop. */
  readonly clips: Uint8Array<ArrayBuffer>;
  readonly shape: readonly [views: number, T: number, H: number, W: number, channels: 3];
  /** Which video, clip and crop each view is `[N · M · S]`. */
  readonly indices: Uint32Array<ArrayBuffer>;
  readonly clip: Uint32Array<ArrayBuffer>;
  readonly crop: Uint32Array<ArrayBuffer>;
  /** Label of each view's video `[N · M · S]`, where the source has labels; -1 where unknown. */
  readonly labels?: Int32Array<ArrayBuffer>;
  /** Name of each view's video `[N · M · S]`. */
  readonly names: readonly string[];
  /** Clips with repeated frames, since their videos are too short. */
  readonly padded: number;
}

/**
 * Loads all views of a source's videos, once and in their order, in workers.
 *
 * A bad video is left out and listed in `skipped`: the next ones move up, so that all batches have N
 * videos but the last. None is put in its place, as it would count twice.
 *
 * Leaving a `for await` over it, or its `return()`, ends the workers.
 *
 * @throws {RangeError} If an option is out of its range.
 * @throws {DataError} If more than `maxBad` or all of the files are bad.
 * @throws {DecoderError} If the decoder cannot be used.
 * @throws {Error} If workers cannot start.
 */
export async function* loadClipViews(
  options: ClipEvaluationOptions,
): AsyncGenerator<ClipViewBatch, void, void> {
  checkOptions(options);
  const { source: { length }, batch, prefetch = 2, sampling, clips, crops } = options;
  const { decoder, shortSide, cache } = options;
  const reading = { decoder, shortSide, cache };
  using workers = new ClipWorkers(options, { kind: "test", ...reading, sampling, clips, crops });
  const { skipped, warnings } = workers;
  const { frames } = sampling;
  const { width, height } = crops;
  const views = clips * crops.crops;
  const size = views * frames * height * width * 3;

  const asked: ReturnType<ClipWorkers["load"]>[] = [];
  const askUpTo = (end: number, from: number) => {
    for (let index = from + asked.length; index < Math.min(end, length); index++) {
      const loading = workers.load(index);
      loading.catch(() => {}); // reported when its turn comes
      asked.push(loading);
    }
  };

  let pixels = new Uint8Array(Math.min(batch, length) * size);
  let found: number[] = [];
  let padded = 0;
  const take = (): ClipViewBatch => {
    const count = found.length * views;
    const each = (of: (view: number) => number) =>
      Uint32Array.from({ length: count }, (_, v) => of(v));
    const indices = each((view) => found[Math.floor(view / views)]);
    const labels = workers.labels(indices);
    const taken: ClipViewBatch = {
      clips: pixels.subarray(0, found.length * size),
      shape: [count, frames, height, width, 3],
      indices,
      clip: each((view) => Math.floor(view % views / crops.crops)),
      crop: each((view) => view % crops.crops),
      ...(labels && { labels }),
      names: workers.names(indices),
      ...{ padded, skipped, warnings },
    };
    pixels = new Uint8Array(pixels.length);
    found = [];
    padded = 0;
    return taken;
  };

  for (let index = 0; index < length; index++) {
    askUpTo(index + (1 + prefetch) * batch, index);
    const answer = await asked.shift()!;
    if (!answer) continue;
    pixels.set(answer.views!, found.length * size);
    padded += answer.padded!;
    if (found.push(index) === batch) yield take();
  }
  if (found.length > 0) yield take();
}

function checkOptions(options: ClipEvaluationOptions): void {
  const { source: { length }, batch, workers, prefetch = 2, clips, crops } = options;
  const { sampling, decoder = "node-av", shortSide = 1 } = options;
  const { width, height } = crops;
  checkCounts({ length, batch, workers, clips, width, height, shortSide }, { prefetch });
  checkSampling(length, sampling);
  checkDecoder(decoder);
  testBoxes(crops, crops);
  if ((crops.shortSide ?? Infinity) < Math.min(width, height)) {
    throw new RangeError(
      `Cannot crop ${width} × ${height} from a short side of ${crops.shortSide} pixels`,
    );
  }
}
