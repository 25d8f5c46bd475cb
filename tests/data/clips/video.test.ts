import { Buffer } from "node:buffer";
import assert from "node:assert/strict";
import {
  type DecoderName,
  DECODERS,
  openVideo,
  readClip,
  sizeOf,
} from "../../../data/clips/video.ts";
import type { loadNodeAv } from "../../../data/clips/node_av.ts";
import { encodePng } from "../png.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { frameOf } from "../../../data/clips/clip.ts";
import {
  ffmpeg,
  ffmpegFrames,
  hasFfmpeg,
  numberedClip,
  numbersIn,
  range,
  writeNumbered,
  writeSound,
} from "./numbered.ts";

/** A test for each decoder; that of ffmpeg is ignored where it is missing. */
function testBoth(name: string, test: (decoder: DecoderName) => Promise<void>): void {
  for (const decoder of DECODERS) {
    const ignore = decoder === "ffmpeg" && !hasFfmpeg;
    Deno.test({ name: `${decoder}: ${name}`, ignore, fn: () => test(decoder) });
  }
}

testBoth("openVideo() tells frames, size and rate of H.264 and VP9", async (decoder) => {
  await using folder = await temporaryFolder();
  for (const name of ["a.mp4", "a.mkv", "a.webm"]) {
    await writeNumbered(`${folder.path}/${name}`, 70, { fps: 20 });
    const { frames, width, height, fps } = await openVideo(`${folder.path}/${name}`, decoder);
    assert.deepEqual({ frames, width, height, fps }, {
      frames: 70,
      width: 96,
      height: 64,
      fps: 20,
    });
  }
});

testBoth(
  "readClip() gives each frame by its index, in any order and with repeats",
  async (decoder) => {
    await using folder = await temporaryFolder();
    for (const name of ["a.mp4", "a.webm"]) {
      const path = `${folder.path}/${name}`;
      await writeNumbered(path, 100);
      const video = await openVideo(path, decoder);
      const all = await readClip(video, range(100));
      assert.deepEqual(numbersIn(all), range(100));
      for (const indices of [[99], [0], [31], [64, 3, 3, 99, 30, 29, 0], [59, 60, 61]]) {
        const clip = await readClip(video, indices);
        assert.deepEqual(numbersIn(clip), indices);
        indices.forEach((index, t) => {
          assert.deepEqual(frameOf(clip, t).pixels, frameOf(all, index).pixels);
        });
      }
    }
  },
);

Deno.test("node-av: readClip() gives each of 250 frames by itself, as all of them together", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.mp4`;
  await writeNumbered(path, 250);
  const video = await openVideo(path);
  const all = await readClip(video, range(250));
  assert.deepEqual(numbersIn(all), range(250));
  for (const index of range(250)) {
    assert.deepEqual((await readClip(video, [index])).pixels, frameOf(all, index).pixels);
  }
});

testBoth("readClip() resizes the short side", async (decoder) => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.mp4`;
  await writeNumbered(path, 10);
  const video = await openVideo(path, decoder);
  for (const [side, width] of [[32, 48], [48, 72], [100, 150]]) {
    const clip = await readClip(video, [7, 2], side);
    assert.deepEqual([clip.frames, clip.height, clip.width, clip.channels], [2, side, width, 3]);
    assert.deepEqual(numbersIn(clip), [7, 2]);
  }
  assert.deepEqual(sizeOf({ width: 64, height: 97 }, 32), { width: 32, height: 48 });
});

Deno.test({
  name: "both decoders give ffmpeg's pixels at every index, whatever the codec and container",
  ignore: !hasFfmpeg,
  fn: async () => {
    await using folder = await temporaryFolder();
    const at = (name: string) => `${folder.path}/${name}`;
    await writeNumbered(at("a.mp4"), 250);
    await writeNumbered(at("a.webm"), 100);
    const source = ["-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=2"];
    const x264 = (...args: string[]) => ["-c:v", "libx264", "-bf", "3", ...args];
    await ffmpeg("-ss", "1.3", "-i", at("a.mp4"), "-c", "copy", "-t", "5", at("edit_list.mp4"));
    await ffmpeg("-ss", "1.3", "-i", at("a.mp4"), "-c", "copy", at("cut.mkv"));
    const vfr = ["-vf", "select='not(mod(n,3))+not(mod(n,7))'", "-fps_mode", "vfr"];
    await ffmpeg(...source, ...vfr, ...x264(), at("variable_rate.mp4"));
    await ffmpeg(...source, ...x264("-x264-params", "open-gop=1:keyint=12"), at("open_gop.mp4"));
    await ffmpeg(
      ...source,
      ...x264("-x264-params", "intra-refresh=1:keyint=12"),
      at("refresh.mp4"),
    );
    await ffmpeg(...source, ...x264("-x264-params", "interlaced=1:keyint=12"), at("fields.ts"));
    await ffmpeg(...source, ...x264("-pix_fmt", "yuv444p"), at("fine_chroma.mp4"));
    await ffmpeg(...source, ...x264("-pix_fmt", "yuv422p10le"), at("ten_bits.mp4"));
    await ffmpeg(...source, ...x264("-pix_fmt", "yuvj420p"), at("full_range.mov"));
    const hd = ["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709"];
    await ffmpeg(...source, ...x264(...hd, "-color_trc", "bt709"), at("bt709.mp4"));
    await ffmpeg(...source, "-c:v", "mpeg4", "-bf", "2", at("mpeg4.avi"));
    await ffmpeg(...source, "-c:v", "mpeg2video", "-bf", "2", at("mpeg2.mpg"));
    const hidden = ["-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "200k"];
    await ffmpeg(...source, "-c:v", "libvpx", ...hidden, at("vp8.webm"));
    let videos = 0;
    for await (const { name } of Deno.readDir(folder.path)) {
      const expected = await ffmpegFrames(at(name));
      const size = 96 * 64 * 3;
      const small: Uint8Array[] = [];
      for (const decoder of DECODERS) {
        const video = await openVideo(at(name), decoder);
        assert.equal(video.frames, expected.length / size, `${decoder} ${name}`);
        const { pixels } = await readClip(video, range(video.frames));
        assert.ok(equal(pixels, expected), `${decoder} ${name}`);
        for (let index = video.frames - 1; index >= 0; index -= decoder === "node-av" ? 5 : 100) {
          const one = await readClip(video, [index]);
          const frame = expected.subarray(index * size, (index + 1) * size);
          assert.ok(equal(one.pixels, frame), `${decoder} ${name} frame ${index}`);
        }
        small.push((await readClip(video, [1, 20], 40)).pixels);
      }
      assert.ok(equal(small[0], small[1]), `${name} at 40 pixels`);
      videos++;
    }
    assert.equal(videos, 15);
  },
});

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

testBoth("openVideo() names a file that cannot be used, and says why", async (decoder) => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  for (const name of ["a.mp4", "a.webm"]) await writeNumbered(at(name), 50);
  const bytes = await Deno.readFile(at("a.mp4"));
  await Deno.writeFile(at("half.mp4"), bytes.subarray(0, bytes.length / 2));
  await Deno.writeFile(at("almost.mp4"), bytes.subarray(0, -1));
  await Deno.writeFile(at("half.webm"), (await Deno.readFile(at("a.webm"))).subarray(0, 3000));
  await Deno.writeFile(at("empty.mp4"), new Uint8Array());
  await Deno.writeTextFile(
    at("text.mp4"),
    "no video at all, just some words in a file\n".repeat(9),
  );
  await Deno.mkdir(at("folder.mp4"));
  await writeSound(at("sound.wav"));
  const cases: [string, RegExp][] = [
    ["missing.mp4", /^Cannot read .*\/missing\.mp4: no such file$/],
    ["empty.mp4", /^Cannot decode .*\/empty\.mp4: the file is empty$/],
    [
      "half.mp4",
      /half\.mp4: it is truncated, \d+ of \d+ bytes are there; copy or download it again$/,
    ],
    ["almost.mp4", /almost\.mp4: it is truncated, \d+ of \d+ bytes are there/],
    ["half.webm", /half\.webm: it is truncated, 3000 of \d+ bytes are there/],
    ["text.mp4", /text\.mp4: it is no video, or damaged$/],
    ["sound.wav", /sound\.wav: it holds no video, only sound$/],
    ["folder.mp4", /^Cannot use folder .*\/folder\.mp4 as a video: it holds no image$/],
  ];
  for (const [name, message] of cases) {
    await assert.rejects(openVideo(at(name), decoder), { name: "DataError", message });
  }
});

testBoth("readClip() does not pass damaged frames for whole ones", async (decoder) => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.mp4`;
  await writeNumbered(path, 100);
  const bytes = await Deno.readFile(path);
  const middle = Math.floor(bytes.length * 0.6); // within mdat, and the third group of pictures
  bytes.fill(0xff, middle, middle + 1500);
  await Deno.writeFile(path, bytes);
  const video = await openVideo(path, decoder);
  assert.equal(video.frames, 100);
  await assert.rejects(readClip(video, range(100)), {
    name: "DataError",
    message: /^Cannot decode .*\/a\.mp4: it is truncated or damaged at frame \d+/,
  });
  assert.deepEqual(numbersIn(await readClip(video, [0, 5])), [0, 5]);
});

Deno.test("readClip() refuses frames that a video does not have", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.mp4`;
  await writeNumbered(path, 5);
  const video = await openVideo(path);
  for (
    const [indices, message] of [[[5], /frame 5 of .*: the video has 5/], [[-1], /frame -1/], [
      [0.5],
      /frame 0\.5/,
    ], [[], /it is empty/]] as const
  ) {
    await assert.rejects(readClip(video, indices), { name: "RangeError", message });
  }
  await assert.rejects(readClip(video, [0], 0), /short side of 0 pixels/);
});

Deno.test("openVideo() reads a folder of frames in the order of their numbers", async () => {
  await using folder = await temporaryFolder();
  const clip = numberedClip(12);
  for (const t of range(12)) {
    const { pixels } = frameOf(clip, t);
    const png = encodePng({ width: 96, height: 64, type: 2, samples: [...pixels] });
    await Deno.writeFile(`${folder.path}/img_${t + 1}.png`, png);
  }
  const video = await openVideo(folder.path);
  assert.deepEqual([video.frames, video.width, video.height, video.fps], [12, 96, 64, undefined]);
  assert.deepEqual((await readClip(video, range(12))).pixels, clip.pixels);
  assert.deepEqual(numbersIn(await readClip(video, [11, 9, 9], 32)), [11, 9, 9]);
  await Deno.writeTextFile(`${folder.path}/img_3.png`, "no image");
  await assert.rejects(readClip(video, [1, 2]), /Cannot decode .*img_3\.png: it is not a JPEG/);
});

Deno.test("openVideo() names the decoders if there is none of a name", async () => {
  await assert.rejects(openVideo("a.mp4", "decord" as DecoderName), {
    name: "RangeError",
    message: 'Cannot open videos: decoder "decord" is none of node-av, ffmpeg',
  });
});

/** What opening a video with ffmpeg throws in a process of its own. */
async function thrownBy(path: string, permission: string, env: Record<string, string>) {
  const url = (name: string) => new URL(`../../../${name}`, import.meta.url);
  const script = `import { openVideo } from ${JSON.stringify(url("data/clips/video.ts"))};
    await openVideo(${JSON.stringify(path)}, "ffmpeg").catch((e) => console.log(String(e)));`;
  await Deno.writeTextFile(`${path}.ts`, script);
  const args = ["run", "--no-prompt", "--no-check", "-c", url("deno.json").pathname, permission];
  const command = new Deno.Command(Deno.execPath(), { args: [...args, `${path}.ts`], env });
  return new TextDecoder().decode((await command.output()).stdout);
}

Deno.test("openVideo() says how to mend a missing ffmpeg", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.mp4`;
  await writeNumbered(path, 5);
  assert.match(
    await thrownBy(path, "-A", { PATH: folder.path }),
    /^DecoderError: Cannot decode videos: there is no ffmpeg on PATH; install it, .*apt-get install/,
  );
});

Deno.test({
  name: "openVideo() says which permission ffmpeg needs",
  ignore: !hasFfmpeg,
  fn: async () => {
    await using folder = await temporaryFolder();
    const path = `${folder.path}/a.mp4`;
    await writeNumbered(path, 5);
    const thrown = await thrownBy(path, "--allow-read", {});
    assert.match(thrown, /^DecoderError: .* must not be run; give deno --allow-run=ffmpeg,ffprobe/);
  },
});

Deno.test("loadNodeAv() says how to mend a package that is not there", async () => {
  const fails = () => Promise.reject(new Error("Could not find npm package 'node-av'.\n  at x"));
  // The real one is kept once loaded, so that this needs a module of its own.
  const { loadNodeAv: load } = await import("../../../data/clips/node_av.ts?missing") as {
    loadNodeAv: typeof loadNodeAv;
  };
  await assert.rejects(load(fails), {
    name: "DecoderError",
    message: "Cannot load npm:node-av: Could not find npm package 'node-av'; " +
      "run deno install while online and allow FFI, or choose the decoder ffmpeg",
  });
  assert.ok((await load()).FormatContext); // a later try may succeed
});
