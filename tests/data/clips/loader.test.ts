import assert from "node:assert/strict";
import { type ClipBatch, type ClipLoadOptions, loadClips } from "../../../data/clips/loader.ts";
import type { ClipSource } from "../../../data/clips/find.ts";
import { frameOf } from "../../../data/clips/clip.ts";
import type { DecoderName } from "../../../data/clips/video.ts";
import { fold, key, permutation } from "../../../src/random.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { hasFfmpeg, numbersIn, writeNumbered } from "./numbered.ts";

/** Writes videos of 40, 41, … frames and one of 5. */
async function videosIn(path: string, count = 5): Promise<ClipSource> {
  const files: string[] = [];
  for (let i = 0; i < count; i++) {
    const file = `${path}/${i}.${i % 2 ? "webm" : "mp4"}`;
    await writeNumbered(file, i === count - 1 ? 5 : 40 + i, { keyframes: 12 });
    files.push(file);
  }
  return {
    ...{ kind: "files", files, root: path, length: count, listed: true },
    labels: Int32Array.from(files, (_, i) => 10 + i),
    list: { path: `${path}/list.csv`, lines: new Map(files.map((file, i) => [file, i + 1])) },
  };
}

function options(source: ClipSource, changes: Partial<ClipLoadOptions> = {}): ClipLoadOptions {
  return {
    ...{ source, seed: 5, batch: 2, start: 0, workers: 2 },
    sampling: { kind: "dense", frames: 4, stride: 3 },
    crop: { kind: "multi-scale", width: 48, height: 48 },
    flip: false,
    ...changes,
  };
}

async function take(count: number, options: ClipLoadOptions): Promise<ClipBatch[]> {
  const batches: ClipBatch[] = [];
  for await (const batch of loadClips(options)) if (batches.push(batch) === count) break;
  return batches;
}

/** Views that show whole frames, so that their numbers can be read. */
const WHOLE = {
  crop: { kind: "random-resized", scale: [1, 1], ratio: [1.5, 1.5], width: 96, height: 64 },
  flip: false,
} as const;

function viewsOf({ clips, shape: [views, frames, height, width] }: ClipBatch) {
  const size = frames * height * width * 3;
  return Array.from({ length: views }, (_, v) => ({
    ...{ frames, height, width, channels: 3 },
    pixels: clips.slice(v * size, (v + 1) * size),
  }));
}

Deno.test("loadClips() goes through each epoch once, with labels, names and short videos counted", async () => {
  await using folder = await temporaryFolder();
  const source = await videosIn(folder.path);
  const batches = await take(5, options(source, WHOLE));
  const order = [0, 1].flatMap((epoch) => [...permutation(fold(key(5), epoch), 5)]);
  assert.deepEqual(batches.flatMap(({ indices }) => [...indices]), order);
  assert.deepEqual(batches.flatMap(({ labels }) => [...labels!]), order.map((i) => 10 + i));
  assert.deepEqual(
    batches.flatMap(({ names }) => names),
    order.map((i) => `${i}.${i % 2 ? "webm" : "mp4"}`),
  );
  assert.deepEqual(batches.map(({ position, epoch }) => [position, epoch]), [
    ...[[2, 0], [4, 0], [6, 0], [8, 1], [10, 1]],
  ]);
  assert.equal(batches.reduce((sum, { padded }) => sum + padded, 0), 2); // once an epoch
  const starts = new Set<number>();
  for (const batch of batches) {
    assert.deepEqual(batch.shape, [2, 4, 64, 96, 3]);
    viewsOf(batch).forEach((view, v) => {
      const [start, ...others] = numbersIn(view);
      if (batch.indices[v] === 4) assert.deepEqual([start, ...others], [0, 3, 3, 3]);
      else assert.deepEqual(others, [start + 3, start + 6, start + 9]);
      starts.add(start);
    });
  }
  assert.ok(starts.size > 4);
});

Deno.test("loadClips() does not depend on workers, prefetching, the cache or where it starts", async () => {
  await using folder = await temporaryFolder();
  const source = await videosIn(folder.path);
  const erase = {
    ...{ probability: 0.5, mode: "pixel", mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] } as const,
  };
  const changes = { randAugment: "rand-m7-n2-mstd0.5-inc1", erase, flip: true, repeats: 2 };
  const cache = `${folder.path}/cache`;
  const all = (more: Partial<ClipLoadOptions>) => options(source, { ...changes, ...more });
  const reference = await take(4, all({ workers: 1, prefetch: 0 }));
  for (const more of [{ workers: 2 }, { workers: 3, prefetch: 4 }, { cache }, { cache }]) {
    assert.deepEqual(await take(4, all(more)), reference);
  }
  const resumed = await take(2, all({ start: reference[1].position }));
  assert.deepEqual(resumed, reference.slice(2));
  const [other] = await take(1, all({ seed: 6 }));
  assert.notDeepEqual(other.clips, reference[0].clips);
});

Deno.test({
  name: "loadClips() gives the same clips with either decoder",
  ignore: !hasFfmpeg,
  fn: async () => {
    await using folder = await temporaryFolder();
    const source = await videosIn(folder.path, 3);
    const [a, b] = await Promise.all(
      (["node-av", "ffmpeg"] as const).map((decoder: DecoderName) =>
        take(2, options(source, { decoder, shortSide: 50 }))
      ),
    );
    assert.deepEqual(a, b);
  },
});

Deno.test("loadClips() shows a clip in several views of the same frames", async () => {
  await using folder = await temporaryFolder();
  const source = await videosIn(folder.path);
  const [whole] = await take(1, options(source, { ...WHOLE, repeats: 3 }));
  assert.deepEqual(whole.shape, [6, 4, 64, 96, 3]);
  assert.equal(whole.position, 2);
  const order = permutation(fold(key(5), 0), 5);
  assert.deepEqual([...whole.indices], [0, 0, 0, 1, 1, 1].map((place) => order[place]));
  const views = viewsOf(whole);
  assert.deepEqual(numbersIn(views[1]), numbersIn(views[0]));
  assert.deepEqual(numbersIn(views[2]), numbersIn(views[0]));
  const cropped = viewsOf((await take(1, options(source, { repeats: 3 })))[0]);
  assert.notDeepEqual(cropped[1].pixels, cropped[0].pixels);
});

Deno.test("loadClips() samples one frame a segment", async () => {
  await using folder = await temporaryFolder();
  const source = await videosIn(folder.path);
  const sampling = { kind: "segments", frames: 8 } as const;
  for (const batch of await take(3, options(source, { ...WHOLE, sampling }))) {
    viewsOf(batch).forEach((view, v) => {
      numbersIn(view).forEach((number, t) => {
        if (batch.indices[v] === 4) assert.equal(number, Math.floor(t * 5 / 8));
        else assert.equal(Math.floor(number / 5), t);
      });
    });
  }
});

Deno.test("loadClips() makes views of smaller frames if told to", async () => {
  await using folder = await temporaryFolder();
  const source = await videosIn(folder.path, 2);
  const [batch] = await take(1, options(source, { ...WHOLE, shortSide: 32 }));
  const [view] = viewsOf(batch);
  assert.ok(numbersIn(view).length === 4 && frameOf(view, 0).width === 96);
  const [sharp] = viewsOf((await take(1, options(source, WHOLE)))[0]);
  assert.notDeepEqual(view.pixels, sharp.pixels);
});

Deno.test("loadClips() puts the next good video in a bad one's place and names it with its line", async () => {
  await using folder = await temporaryFolder();
  const source = await videosIn(folder.path);
  const [missing, half] = [source.files[1], source.files[2]];
  const bytes = await Deno.readFile(half);
  await Deno.writeFile(half, bytes.subarray(0, bytes.length / 2));
  await Deno.remove(missing);
  const runs = await Promise.all([1, 2].map((workers) => take(4, options(source, { workers }))));
  assert.deepEqual(runs[1], runs[0]);
  const order = permutation(fold(key(5), 0), 5);
  const expected = Array.from(order, (_, place) => {
    while ([1, 2].includes(order[place % 5])) place++;
    return order[place % 5];
  });
  assert.deepEqual(runs[0].flatMap(({ indices }) => [...indices]).slice(0, 5), expected);
  const { skipped } = runs[0][3];
  assert.equal(
    skipped.get(missing),
    `Cannot read ${missing}: no such file (line 2 of ${folder.path}/list.csv)`,
  );
  assert.match(skipped.get(half)!, /it is truncated, .* \(line 3 of .*list\.csv\)$/);
  await assert.rejects(take(4, options(source, { maxBad: 1 })), {
    name: "DataError",
    message: /^Cannot load clips: 2 of 5 are bad \(maxBad allows 1\), first: Cannot /,
  });
});

Deno.test("loadClips() ends when all videos are bad", async () => {
  const files = ["/nowhere/a.mp4", "/nowhere/b.mp4"];
  const source = { kind: "files", files, length: 2 } as const;
  await assert.rejects(take(1, options(source)), {
    name: "DataError",
    message:
      /^Cannot load clips: 2 of 2 are bad, first: Cannot read \/nowhere\/.\.mp4: no such file$/,
  });
});

Deno.test("loadClips() refuses options out of their range", async () => {
  const source = { kind: "files", files: ["a.mp4"], length: 1 } as const;
  const cases: [Partial<ClipLoadOptions>, RegExp][] = [
    [{ batch: 0 }, /batch is 0, not a positive integer/],
    [{ start: -1 }, /start is -1, not a natural number/],
    [{ repeats: 0.5 }, /repeats is 0\.5/],
    [{ sampling: { kind: "dense", frames: 0 } }, /frames is 0/],
    [{ decoder: "decord" as DecoderName }, /decoder "decord" is none of node-av, ffmpeg/],
    [{ randAugment: "rand-x" }, /Cannot read the RandAugment settings/],
    [{ crop: { kind: "random-resized", width: 8, height: 8, scale: [0, 1] } }, /scale is \[0, 1\]/],
    [{ crop: { kind: "multi-scale", width: 8, height: 8, scales: [2] } }, /scales are \[2\]/],
    [{ erase: { probability: 2, mode: "pixel", mean: [], std: [] } }, /probability is 2/],
    [{ source: { ...source, files: [], length: 0 } }, /length is 0/],
  ];
  for (const [changes, message] of cases) {
    await assert.rejects(take(1, options(source, changes)), { name: "RangeError", message });
  }
});
