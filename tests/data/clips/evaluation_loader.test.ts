import assert from "node:assert/strict";
import {
  type ClipEvaluationOptions,
  type ClipViewBatch,
  loadClipViews,
} from "../../../data/clips/evaluation_loader.ts";
import type { ClipSource } from "../../../data/clips/find.ts";
import { testIndices } from "../../../data/clips/sampling.ts";
import { takeFrames } from "../../../data/clips/clip.ts";
import { testViews } from "../../../data/clips/views.ts";
import { openVideo, readClip } from "../../../data/clips/video.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { range, writeNumbered } from "./numbered.ts";

const SIZES = [60, 7, 33];

async function videosIn(path: string): Promise<ClipSource> {
  const files = SIZES.map((_, i) => `${path}/${i}.mp4`);
  for (const [i, file] of files.entries()) await writeNumbered(file, SIZES[i]);
  return { kind: "files", files, root: path, length: 3, labels: Int32Array.of(4, 2, 9) };
}

async function all(options: ClipEvaluationOptions): Promise<ClipViewBatch[]> {
  const batches: ClipViewBatch[] = [];
  for await (const batch of loadClipViews(options)) batches.push(batch);
  return batches;
}

function options(source: ClipSource, changes: Partial<ClipEvaluationOptions> = {}) {
  return {
    ...{ source, batch: 2, workers: 2, clips: 2 },
    sampling: { kind: "dense", frames: 4, stride: 3 },
    crops: { width: 32, height: 32, crops: 3 },
    ...changes,
  } as const;
}

Deno.test("loadClipViews() gives all views of each video in order", async () => {
  await using folder = await temporaryFolder();
  const source = await videosIn(folder.path);
  for (const kind of ["dense", "segments"] as const) {
    const sampling = { kind, frames: 4, stride: 3 };
    const batches = await all(options(source, { sampling }));
    assert.deepEqual(batches.map(({ shape }) => shape), [[12, 4, 32, 32, 3], [6, 4, 32, 32, 3]]);
    const join = (of: (batch: ClipViewBatch) => Iterable<number>) =>
      batches.flatMap((b) => [...of(b)]);
    const videos = range(18).map((view) => Math.floor(view / 6));
    assert.deepEqual(join(({ indices }) => indices), videos);
    assert.deepEqual(join(({ clip }) => clip), range(18).map((view) => Math.floor(view / 3) % 2));
    assert.deepEqual(join(({ crop }) => crop), range(18).map((view) => view % 3));
    assert.deepEqual(join(({ labels }) => labels!), videos.map((video) => [4, 2, 9][video]));
    assert.deepEqual(batches.flatMap(({ names }) => names), videos.map((video) => `${video}.mp4`));
    // The second video is shorter than a dense clip.
    assert.deepEqual(batches.map(({ padded }) => padded), [kind === "dense" ? 2 : 0, 0]);
    const expected: number[][] = [];
    for (const file of source.files) {
      const video = await openVideo(file);
      const whole = await readClip(video, range(video.frames));
      for (const { indices } of testIndices(video.frames, sampling, 2)) {
        const views = testViews(takeFrames(whole, indices), options(source).crops);
        expected.push(...views.map(({ pixels }) => [...pixels]));
      }
    }
    assert.deepEqual(join(({ clips }) => clips), expected.flat());
  }
});

Deno.test("loadClipViews() leaves out a bad video and names it", async () => {
  await using folder = await temporaryFolder();
  const source = await videosIn(folder.path);
  await Deno.writeFile(source.files[1], new Uint8Array());
  const batches = await all(options(source, { workers: 1, prefetch: 0 }));
  assert.deepEqual(batches.flatMap(({ indices }) => [...indices]), [
    ...Array(6).fill(0),
    ...Array(6).fill(2),
  ]);
  assert.deepEqual([...batches[0].skipped], [
    [source.files[1], `Cannot decode ${source.files[1]}: the file is empty`],
  ]);
  assert.equal(batches.length, 1);
  await assert.rejects(all(options(source, { maxBad: 0 })), /1 of 3 are bad \(maxBad allows 0\)/);
});

Deno.test("loadClipViews() refuses options out of their range", async () => {
  const source = { kind: "files", files: ["a.mp4"], length: 1 } as const;
  const crops = { width: 32, height: 32, crops: 3 };
  const cases: [Partial<ClipEvaluationOptions>, RegExp][] = [
    [{ clips: 0 }, /clips is 0, not a positive integer/],
    [{ crops: { ...crops, crops: 0 } }, /Cannot take 0 crops/],
    [{ crops: { ...crops, shortSide: 30 } }, /Cannot crop 32 × 32 from a short side of 30 pixels/],
    [{ prefetch: -1 }, /prefetch is -1/],
  ];
  for (const [changes, message] of cases) {
    await assert.rejects(all(options(source, changes)), { name: "RangeError", message });
  }
});
