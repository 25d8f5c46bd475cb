import assert from "node:assert/strict";
import {
  denseIndices,
  denseTestIndices,
  leastFrames,
  segmentIndices,
  segmentTestIndices,
  testIndices,
  trainingIndices,
} from "../../../data/clips/sampling.ts";
import { fold, key } from "../../../src/random.ts";

Deno.test("denseIndices() takes T frames a stride apart, from any start with T · stride ahead", () => {
  const whole = (start: number) => [start, start + 3, start + 6, start + 9];
  // 20 frames, a span of 12: starts 0 … 8.
  assert.deepEqual(denseIndices(20, 4, 3, 0), { indices: whole(0), padded: false });
  assert.deepEqual(denseIndices(20, 4, 3, 0.5), { indices: whole(4), padded: false });
  assert.deepEqual(denseIndices(20, 4, 3, 0.999), { indices: whole(8), padded: false });
  assert.deepEqual(denseIndices(12, 4, 3, 0.999), { indices: whole(0), padded: false });
  assert.deepEqual(denseIndices(10, 4, 3, 0.999), { indices: whole(0), padded: false });
});

Deno.test("denseIndices() repeats the last frame of a short video, and says so", () => {
  assert.deepEqual(denseIndices(9, 4, 3, 0.9), { indices: [0, 3, 6, 6], padded: true });
  assert.deepEqual(denseIndices(1, 4, 3, 0.9), { indices: [0, 0, 0, 0], padded: true });
});

Deno.test("denseTestIndices() spreads clips evenly, as VideoMAE does", () => {
  // 300 frames at stride 4 leave 75, so starts are int(c · 14.75).
  const clips = denseTestIndices(300, 16, 4, 5);
  assert.deepEqual(clips.map(({ indices }) => indices[0] / 4), [0, 14, 29, 44, 59]);
  assert.deepEqual(clips[1].indices.slice(0, 3), [56, 60, 64]);
  assert.ok(clips.every(({ indices, padded }) => indices.length === 16 && !padded));
  assert.equal(clips[4].indices[15], 296);
  // 10 frames at stride 3 leave 0, 3, 6, 9.
  assert.deepEqual(denseTestIndices(10, 3, 3, 2).map(({ indices }) => indices), [
    [0, 3, 6],
    [3, 6, 9],
  ]);
  assert.deepEqual(denseTestIndices(15, 3, 3, 1), [{ indices: [3, 6, 9], padded: false }]);
});

Deno.test("denseTestIndices() repeats the last frame of a short video in every clip", () => {
  const short = { indices: [0, 4, 8, 8], padded: true };
  assert.deepEqual(denseTestIndices(9, 4, 4, 3), [short, short, short]);
});

Deno.test("segmentIndices() takes one frame of each segment", () => {
  // 11 frames in 4 segments of 2.
  const { indices, padded } = segmentIndices(11, 4, [0, 0.6, 0.4, 0.999]);
  assert.deepEqual([indices, padded], [[0, 3, 4, 7], false]);
  assert.deepEqual(segmentIndices(2, 4, [0.9, 0.9, 0.9, 0.9]), {
    indices: [0, 0, 1, 1],
    padded: true,
  });
});

Deno.test("segmentTestIndices() interleaves two clips, as VideoMAE does for SSv2", () => {
  // A tick of 40 / 16 = 2.5: starts int(2.5 t), centres int(1.25 + 2.5 t).
  const [starts, centres] = segmentTestIndices(40, 16, 2).map(({ indices }) => indices);
  assert.deepEqual(starts, [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 30, 32, 35, 37]);
  assert.deepEqual(centres, [1, 3, 6, 8, 11, 13, 16, 18, 21, 23, 26, 28, 31, 33, 36, 38]);
  assert.deepEqual(segmentTestIndices(40, 16, 1)[0].indices, centres);
  assert.deepEqual(segmentTestIndices(2, 4, 2), [
    { indices: [0, 0, 1, 1], padded: true },
    { indices: [0, 0, 1, 1], padded: true },
  ]);
});

Deno.test("trainingIndices() draws every start alike, by its key alone", () => {
  const sampling = { kind: "dense", frames: 4, stride: 2 } as const;
  const starts = Array.from(
    { length: 300 },
    (_, i) => trainingIndices(10, sampling, fold(key(1), i)).indices[0],
  );
  for (const start of [0, 1, 2]) {
    const share = starts.filter((found) => found === start).length / 300;
    assert.ok(share > 0.25 && share < 0.42, `start ${start}: ${share}`);
  }
  assert.deepEqual(new Set(starts), new Set([0, 1, 2]));
  const segments = { kind: "segments", frames: 8 } as const;
  const draw = (n: number) => trainingIndices(80, segments, fold(key(1), n)).indices;
  assert.deepEqual(draw(1), draw(1));
  assert.notDeepEqual(draw(1), draw(2));
  draw(3).forEach((index, i) => assert.equal(Math.floor(index / 10), i));
});

Deno.test("sampling refuses what is no number of frames", () => {
  const sampling = { kind: "dense", frames: 4, stride: 0 } as const;
  assert.throws(() => trainingIndices(9, sampling, key(0)), /stride is 0, not a positive integer/);
  assert.throws(() => testIndices(9, { ...sampling, stride: 1 }, 0), /Cannot sample 0 clips/);
  assert.throws(
    () => testIndices(0, { kind: "segments", frames: 4 }, 1),
    /length is 0, not a positive integer/,
  );
});

Deno.test("leastFrames() is the shortest video that is not padded", () => {
  for (
    const sampling of [
      { kind: "dense", frames: 4, stride: 3 },
      { kind: "segments", frames: 5 },
    ] as const
  ) {
    const least = leastFrames(sampling);
    assert.equal(trainingIndices(least, sampling, key(0)).padded, false);
    assert.equal(trainingIndices(least - 1, sampling, key(0)).padded, true);
    assert.equal(testIndices(least, sampling, 2)[1].padded, false);
    assert.equal(testIndices(least - 1, sampling, 2)[1].padded, true);
  }
});
