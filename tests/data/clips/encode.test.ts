import assert from "node:assert/strict";
import { encodeClip } from "../../../data/clips/encode.ts";
import { openVideo, readClip } from "../../../data/clips/video.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { numberedClip, range } from "./numbered.ts";

Deno.test("encodeClip() writes what reads back nearly alike, the same bytes each time", async () => {
  await using folder = await temporaryFolder();
  const clip = numberedClip(20);
  for (const name of ["a.mp4", "a.mkv", "a.mov", "a.webm"]) {
    const path = `${folder.path}/${name}`;
    await encodeClip(clip, path, { fps: 12 });
    const video = await openVideo(path);
    assert.deepEqual([video.frames, video.fps], [20, 12]);
    const { pixels } = await readClip(video, range(20));
    const error = pixels.reduce((sum, value, i) => sum + Math.abs(value - clip.pixels[i]), 0);
    assert.ok(error / pixels.length < 4, `${name}: ${error / pixels.length}`);
    const bytes = await Deno.readFile(path);
    await encodeClip(clip, path, { fps: 12 });
    assert.deepEqual(await Deno.readFile(path), bytes);
  }
  const large = (await Deno.stat(`${folder.path}/a.mp4`)).size;
  await encodeClip(clip, `${folder.path}/a.mp4`, { fps: 12, crf: 40 });
  assert.ok((await Deno.stat(`${folder.path}/a.mp4`)).size < large);
});

Deno.test("encodeClip() refuses what it cannot write, and leaves nothing behind", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.mp4`;
  const odd = numberedClip(2, { width: 33 });
  await assert.rejects(
    encodeClip(odd, path, { fps: 5 }),
    /frames are \[64, 33, 3\], not \[even, even, 3\]/,
  );
  const clip = numberedClip(2);
  await assert.rejects(encodeClip(clip, path, { fps: 0.5 }), /fps is 0\.5, not a positive integer/);
  await assert.rejects(
    encodeClip(clip, `${path}.gif`, { fps: 5 }),
    /none of \.mp4, \.mkv, \.mov, \.webm/,
  );
  await assert.rejects(
    encodeClip(clip, path, { fps: 5, crf: 99 }),
    /crf is 99, not in 0 … 51/,
  );
  assert.deepEqual([...Deno.readDirSync(folder.path)], []);
});
