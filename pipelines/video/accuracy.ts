/**
 * How often a classifier of clips is right: the softmax of each view of a video, then their mean, as
 * VideoMAE (arXiv:2203.12602) tests.
 *
 * @module
 */
import {
  type ClipEvaluationOptions,
  type ClipViewBatch,
  loadClipViews,
} from "../../data/clips/evaluation_loader.ts";
import type { ViewBatch } from "../../data/views.ts";
import type { Device } from "../../src/device.ts";
import {
  classifierFeatures,
  type ClassifierParams,
  type ClassifierSettings,
  logitsOf,
} from "../../src/models/classifier.ts";
import type { VideoEncoderSettings } from "../../src/models/encoder.ts";
import type { Params } from "../../src/optim.ts";
import { type Accuracy, AccuracyCount } from "../accuracy.ts";
import { type Inference, prepareInference } from "../inference.ts";
import type { SampleSettings } from "../recipe.ts";
import { normaliseClips } from "./clips.ts";
import { stillClips } from "./still.ts";

/** Views to classify, and how: `clips` × `crops` of each video. */
export interface VideoViewOptions
  extends Omit<ClipEvaluationOptions, "batch">, Pick<SampleSettings, "mean" | "std"> {
  /** Whether clips show their middle frame alone. */
  readonly still?: boolean;
  /** Sees what each video was loaded with, for the list of bad files. */
  readonly onBatch?: (batch: Pick<ViewBatch, "skipped" | "warnings">) => void;
}

/** What a classifier makes of a video. */
export interface ClassifiedVideo {
  /** Place in the source. */
  readonly index: number;
  /** -1 where unknown. */
  readonly label: number;
  /** Mean of the views' softmax, `[K]`. */
  readonly probabilities: Float64Array;
  /** Views that differ. */
  readonly views: number;
  /** Clips with repeated frames, since the video is too short. */
  readonly padded: number;
}

/** Compiles a classifier for batches of N views, to `scores` `[N, K]`. */
export async function prepareVideoClassifier(
  device: Device,
  settings: ClassifierSettings<VideoEncoderSettings>,
  params: Params,
  batch: number,
): Promise<Inference> {
  const { imageSize, channels, frames } = settings.encoder;
  return await prepareInference(
    device,
    { batch, imageSize, channels, frames },
    params,
    (params, clips) => {
      const all = params as unknown as ClassifierParams;
      return { scores: logitsOf(all, classifierFeatures(all, settings, clips)) };
    },
  );
}

/** A video whose views are not all classified yet. */
interface Begun extends ClassifiedVideo {
  done: number;
}

interface View {
  readonly video: Begun;
  /** Share of the video's views that are this one. */
  readonly share: number;
  /** `[T, H, W, 3]`. */
  readonly pixels: Uint8Array;
}

/**
 * Classifies the videos of a source, in their order; bad ones are left out. Views of equal pixels are
 * classified once, and count as often as they come: crops of square frames coincide, and so do clips
 * of a short video.
 *
 * The device works on a batch of views, of one video or several, while the one before is looked at.
 *
 * @throws {DataError} As `loadClipViews`.
 */
export async function* classifyVideos(
  { batch, run }: Pick<Inference, "batch" | "run">,
  options: VideoViewOptions,
): AsyncGenerator<ClassifiedVideo, void, void> {
  let before: Promise<ClassifiedVideo[]> | undefined;
  let queue: View[] = [];
  const start = () => {
    const views = queue;
    queue = [];
    const size = views[0].pixels.length;
    const clips = new Uint8Array(views.length * size);
    views.forEach(({ pixels }, i) => clips.set(pixels, i * size));
    const now = run(normaliseClips(clips, options), views.length)
      .then(({ scores }) => addScores(views, scores));
    now.catch(() => {}); // reported when its turn comes
    return now;
  };
  for await (const view of distinctViews(options)) {
    if (queue.push(view) < batch) continue;
    const now = start();
    if (before) yield* await before;
    before = now;
  }
  if (before) yield* await before;
  if (queue.length > 0) yield* await start();
}

/** Views of all videos but those that show what one before of the same video shows. */
async function* distinctViews(
  { still = false, onBatch = () => {}, ...options }: VideoViewOptions,
): AsyncGenerator<View, void, void> {
  const { workers } = options;
  let last: ClipViewBatch | undefined;
  for await (const batch of loadClipViews({ prefetch: workers, ...options, batch: 1 })) {
    onBatch(last = batch);
    const all = viewsOf(batch, still);
    const firsts = all.map((view) => all.findIndex((one) => equal(one, view)));
    const distinct = [...new Set(firsts)];
    const video: Begun = {
      ...{ index: batch.indices[0], label: batch.labels?.[0] ?? -1, padded: batch.padded },
      ...{ views: distinct.length, probabilities: new Float64Array(), done: 0 },
    };
    for (const first of distinct) {
      const share = firsts.filter((other) => other === first).length / all.length;
      yield { video, share, pixels: all[first] };
    }
  }
  if (last) onBatch(last); // its lists grew with what came after it
}

function viewsOf({ clips, shape }: ClipViewBatch, still: boolean): Uint8Array[] {
  const pixels = still ? stillClips(clips, shape) : clips;
  const size = pixels.length / shape[0];
  return Array.from({ length: shape[0] }, (_, i) => pixels.subarray(i * size, (i + 1) * size));
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || a.every((value, i) => value === b[i]);
}

/** Adds the softmax of each view to its video's mean. @returns The videos that are done. */
function addScores(views: readonly View[], scores: Float32Array): ClassifiedVideo[] {
  const classes = scores.length / views.length;
  return views.flatMap(({ video, share }, i) => {
    const row = softmax(scores.subarray(i * classes, (i + 1) * classes));
    const sum = video.done === 0 ? new Float64Array(classes) : video.probabilities;
    row.forEach((probability, k) => sum[k] += share * probability);
    Object.assign(video, { probabilities: sum, done: video.done + 1 });
    return video.done === video.views ? [video] : [];
  });
}

function softmax(scores: Float32Array): Float64Array {
  const most = Math.max(...scores);
  const powers = Float64Array.from(scores, (score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** Scores whose softmax a video's probabilities are, for what counts scores. */
export function logProbabilities({ probabilities }: ClassifiedVideo): Float32Array {
  return Float32Array.from(probabilities, (share) => Math.log(Math.max(share, 1e-30)));
}

/**
 * Prepares to measure a classifier on a source's videos.
 *
 * @param params Parameters on the device or the host.
 * @param batch Views that the device gets at once.
 */
export async function prepareVideoAccuracy(
  device: Device,
  settings: ClassifierSettings<VideoEncoderSettings>,
  params: Params,
  { batch, ...options }: VideoViewOptions & { readonly batch: number },
): Promise<{ measure(): Promise<Accuracy>; destroy(): void }> {
  const inference = await prepareVideoClassifier(device, settings, params, batch);
  return {
    async measure() {
      const count = new AccuracyCount();
      for await (const video of classifyVideos(inference, options)) {
        count.add(logProbabilities(video), [video.label]);
      }
      return count.result();
    },
    destroy: () => inference.destroy(),
  };
}
