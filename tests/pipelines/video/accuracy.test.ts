import assert from "node:assert/strict";
import { loadClipViews } from "../../../data/clips/evaluation_loader.ts";
import { type ClipSource, findClips } from "../../../data/clips/find.ts";
import {
  type ClassifiedVideo,
  classifyVideos,
  prepareVideoClassifier,
  type VideoViewOptions,
} from "../../../pipelines/video/accuracy.ts";
import { normaliseClips } from "../../../pipelines/video/clips.ts";
import { stillClips } from "../../../pipelines/video/still.ts";
import {
  classifierFeatures,
  type ClassifierSettings,
  initClassifier,
  logitsOf,
} from "../../../src/models/classifier.ts";
import type { VideoEncoderSettings } from "../../../src/models/encoder.ts";
import { openDevice } from "../../../src/device.ts";
import { initializer } from "../../../src/init.ts";
import { read } from "../../../src/plan/read.ts";
import type { Params } from "../../../src/optim.ts";
import { key } from "../../../src/random.ts";
import { tensor } from "../../../src/tensor.ts";
import { temporaryFolder } from "../../data/temporary_folder.ts";
import { type ClipLook, VIDEO_MCMAE, writeClip } from "./tiny_video_models.ts";

const FRAMES = 4;
const SIZE = FRAMES * 32 * 32 * 3;
const CLASSES = 3;

async function videosIn(path: string, looks: readonly ClipLook[]): Promise<ClipSource> {
  for (const [i, look] of looks.entries()) await writeClip(`${path}/${i}.mp4`, i, look);
  return await findClips(path);
}

function options(source: ClipSource, changes: Partial<VideoViewOptions> = {}): VideoViewOptions {
  return {
    ...{ source, workers: 1, mean: [0.5, 0.4, 0.3], std: [0.2, 0.25, 0.3], clips: 2 },
    sampling: { kind: "dense", frames: FRAMES, stride: 1 },
    crops: { width: 32, height: 32, crops: 3, shortSide: 32 },
    ...changes,
  };
}

/** Scores of a clip that are quickly computed. */
function scoresOf(clip: Float32Array): number[] {
  const sums = Array<number>(CLASSES).fill(0);
  clip.forEach((value, i) => sums[Math.floor(i * CLASSES / clip.length)] += value);
  return sums.map((sum) => 20 * sum / clip.length);
}

/** A model in batches of four views, which notes how many it gets. */
function model(counts: number[] = []) {
  const run = (clips: Float32Array, count: number) => {
    counts.push(count);
    assert.equal(clips.length, count * SIZE);
    const scores = Array.from(
      { length: count },
      (_, i) => scoresOf(clips.subarray(i * SIZE, (i + 1) * SIZE)),
    );
    return Promise.resolve({ scores: Float32Array.from(scores.flat()) });
  };
  return { batch: 4, run };
}

async function all(
  inference: Parameters<typeof classifyVideos>[0],
  options: VideoViewOptions,
): Promise<ClassifiedVideo[]> {
  return await Array.fromAsync(classifyVideos(inference, options));
}

function softmax(scores: readonly number[]): number[] {
  const powers = scores.map(Math.exp);
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** The mean over all views of each video, with those that are equal. */
async function plainMeans(options: VideoViewOptions): Promise<number[][]> {
  const means: number[][] = [];
  for await (const { clips, shape } of loadClipViews({ ...options, batch: 1 })) {
    const pixels = normaliseClips(options.still ? stillClips(clips, shape) : clips, options);
    const shares = Array.from(
      { length: shape[0] },
      (_, i) => softmax(scoresOf(pixels.subarray(i * SIZE, (i + 1) * SIZE))),
    );
    means.push(shares[0].map((_, k) => shares.reduce((sum, row) => sum + row[k], 0) / shape[0]));
  }
  return means;
}

function assertMeans(videos: readonly ClassifiedVideo[], means: readonly number[][]): void {
  videos.forEach(({ probabilities }, i) =>
    probabilities.forEach((share, k) => assert.ok(Math.abs(share - means[i][k]) < 1e-5))
  );
  assert.equal(videos.length, means.length);
}

Deno.test("classifyVideos() gives the mean over each video's views of their softmax", async () => {
  await using folder = await temporaryFolder();
  const source = await videosIn(folder.path, [{}, { frames: 30 }, { width: 64 }]);
  for (const still of [false, true]) {
    const asked = options(source, { still });
    const counts: number[] = [];
    const videos = await all(model(counts), asked);
    assertMeans(videos, await plainMeans(asked));
    assert.deepEqual(
      videos.map(({ index, views, padded, label }) => [index, views, padded, label]),
      [
        ...[[0, 6, 0, -1], [1, 6, 0, -1], [2, 6, 0, -1]],
      ],
    );
    assert.deepEqual(counts, [4, 4, 4, 4, 2]); // a batch holds views of several videos
  }
});

Deno.test("classifyVideos() classifies views once that coincide, and counts them as often as they come", async () => {
  await using folder = await temporaryFolder();
  const square = { width: 40, height: 40 };
  const source = await videosIn(folder.path, [square, { frames: 3 }, { ...square, frames: 4 }]);
  const counts: number[] = [];
  const videos = await all(model(counts), options(source));
  // Crops of square frames coincide; so do clips of a video that is hardly as long as one, or shorter.
  assert.deepEqual(videos.map(({ views }) => views), [2, 3, 1]);
  assert.deepEqual(videos.map(({ padded }) => padded > 0), [false, true, false]);
  assert.deepEqual(counts, [4, 2]);
  assertMeans(videos, await plainMeans(options(source)));
  // Five frames leave three clips the starts 0, 0 and 1: two views, the first of double weight.
  const uneven = await videosIn(`${folder.path}/uneven`, [{ ...square, frames: 5 }]);
  const found = await all(model(), options(uneven, { clips: 3 }));
  assert.equal(found[0].views, 2);
  assertMeans(found, await plainMeans(options(uneven, { clips: 3 })));
});

Deno.test("classifyVideos() leaves a corrupt video out, and tells of it", async () => {
  await using folder = await temporaryFolder();
  const source = await videosIn(folder.path, [{}, {}, {}]);
  await Deno.writeTextFile(source.files[2], "no video");
  const bad = new Map<string, string>();
  const onBatch: VideoViewOptions["onBatch"] = ({ skipped }) =>
    skipped.forEach((reason, file) => bad.set(file, reason));
  const videos = await all(model(), options(source, { onBatch }));
  assert.deepEqual(videos.map(({ index }) => index), [0, 1]);
  assert.deepEqual([...bad.keys()], [source.files[2]]);
});

Deno.test("stillClips() shows the middle frame alone", () => {
  const clips = Uint8Array.from({ length: 2 * 4 * 2 * 3 }, (_, i) => i);
  const still = stillClips(clips, [2, 4, 1, 2, 3]);
  const frame = (n: number, t: number) => [...clips.subarray(6 * (4 * n + t), 6 * (4 * n + t + 1))];
  const repeated = (n: number) => Array.from({ length: 4 }, () => frame(n, 2)).flat();
  assert.deepEqual([...still], [...repeated(0), ...repeated(1)]);
});

Deno.test("prepareVideoClassifier() scores as the model does, in batches that are not full too", async () => {
  const settings: ClassifierSettings<VideoEncoderSettings> = {
    ...{ encoder: VIDEO_MCMAE, classes: CLASSES, pooling: "mean", dropPath: 0.5 },
  };
  const draw = initializer(key(3));
  const head = { weight: draw.normal([CLASSES, 16], 1), bias: draw.normal([CLASSES], 1) };
  const params = { ...initClassifier(settings, draw), head };
  const device = await openDevice();
  const inference = await prepareVideoClassifier(device, settings, params as Params, 2);
  const clips = Float32Array.from({ length: SIZE }, (_, i) => Math.sin(i));
  const { scores } = await inference.run(clips, 1);
  const input = tensor(clips, [1, FRAMES, 32, 32, 3]);
  const expected = await read(
    device,
    logitsOf(params, classifierFeatures(params, settings, input)),
  );
  scores.forEach((score, k) => assert.ok(Math.abs(score - expected[k]) < 1e-4));
  assert.equal(scores.length, CLASSES);
  await assert.rejects(inference.run(clips, 2), /Cannot run 2 clips of 12288 values/);
  inference.destroy();
});
