import assert from "node:assert/strict";
import { findClips } from "../../../data/clips/find.ts";
import { verifyClips } from "../../../data/clips/verify.ts";
import type { DecoderName } from "../../../data/clips/video.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { writeNumbered } from "./numbered.ts";

Deno.test("verifyClips() lists missing, unreadable and short videos with their lines", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await writeNumbered(at("a.mp4"), 40);
  await writeNumbered(at("b.webm"), 20, { fps: 10 });
  await writeNumbered(at("short.mp4"), 7, { width: 64 });
  await writeNumbered(at("damaged.mp4"), 60, { keyframes: 12 });
  const bytes = await Deno.readFile(at("damaged.mp4"));
  bytes.fill(0xff, bytes.length * 0.6, bytes.length * 0.7);
  await Deno.writeFile(at("damaged.mp4"), bytes);
  await Deno.writeTextFile(at("text.mp4"), "some words\n".repeat(20));
  const names = ["a.mp4", "gone.mp4", "b.webm", "short.mp4", "damaged.mp4", "text.mp4"];
  await Deno.writeTextFile(at("list.csv"), names.map((name) => `${name} 0\n`).join(""));
  const source = await findClips(at("list.csv"));
  const sampling = { kind: "dense", frames: 4, stride: 3 } as const;
  const seen: number[] = [];
  const found = await verifyClips(source, {
    ...{ sampling, workers: 2 },
    onProgress: (done) => seen.push(done),
  });
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6]);
  assert.equal(found.clips, 6);
  assert.deepEqual(found.missing, [{ file: at("gone.mp4"), line: 2 }]);
  assert.deepEqual(found.short, [{ file: at("short.mp4"), line: 4, frames: 7 }]);
  assert.deepEqual(found.unreadable.map(({ file, line }) => [file, line]), [
    [at("damaged.mp4"), 5],
    [at("text.mp4"), 6],
  ]);
  assert.match(
    found.unreadable[0].reason,
    /damaged\.mp4: it is truncated or damaged at frame \d+$/,
  );
  assert.match(found.unreadable[1].reason, /text\.mp4: it is no video, or damaged$/);
  assert.deepEqual(found.frames, { min: 7, median: 20, max: 40 });
  assert.deepEqual(found.width, { min: 64, median: 96, max: 96 });
  assert.deepEqual(found.fps, { min: 10, median: 25, max: 25 });
  // What is damaged in the middle opens.
  const quick = await verifyClips(source, { workers: 1, decode: false });
  assert.deepEqual(quick.unreadable.map(({ line }) => line), [6]);
  assert.deepEqual(quick.short, []);
});

Deno.test("verifyClips() lists all videos where none is good", async () => {
  const files = ["/nowhere/a.mp4", new URL(import.meta.url).pathname];
  const source = { kind: "files", files, length: 2 } as const;
  const found = await verifyClips(source, { workers: 1 });
  assert.deepEqual(found.missing, [{ file: files[0] }]);
  assert.equal(found.unreadable.length, 1);
  assert.equal(found.frames, undefined);
  await assert.rejects(
    verifyClips(source, { workers: 1, decoder: "decord" as DecoderName }),
    /decoder "decord" is none of/,
  );
});
