import assert from "node:assert/strict";
import { hasFfmpeg } from "../../data/clips/numbered.ts";
import { fails, resultOf } from "../run_eval.ts";
import { scratch } from "../run_pretrain.ts";
import { writeAutoencoder } from "../tiny_models.ts";
import { writeClip, writeVideoAutoencoder, writeVideoClassifier } from "./tiny_video_models.ts";

const at = (name: string) => `${scratch}/${name}`;
const NAMES = ["yak", "cat", "bee", "ape", "dog", "eel", "fox"];
const named = at("named.safetensors");
const CLIPS = at("clips");
let prepared: Promise<unknown> | undefined;

/** Clips of three classes, a model that knows them and always says bee, and one of two classes. */
async function prepare(): Promise<void> {
  await (prepared ??= (async () => {
    const bias = [0, 1, 9, 8, 7, 6, 5];
    await writeVideoClassifier(named, 7, { names: NAMES, bias });
    await writeVideoClassifier(at("two.safetensors"), 2, { bias: [1, 0] });
    await writeVideoAutoencoder(at("pretrained.safetensors"));
    await writeAutoencoder(at("images.safetensors"));
    await writeClip(`${CLIPS}/bee/1.mp4`, 1);
    await writeClip(`${CLIPS}/bee/2.mp4`, 2, { frames: 3 });
    await writeClip(`${CLIPS}/cat/3.mp4`, 3, { width: 40, height: 40 });
    await Deno.writeTextFile(`${CLIPS}/cat/9.mp4`, "no video");
  })());
}

const asked = (checkpoint: string, data: string, ...more: string[]) => [
  ...["video", "--checkpoint", at(checkpoint), "--data", data, "data.workers=1", ...more],
];

Deno.test("eval video counts videos by name, and tells which are corrupt or too short", async () => {
  await prepare();
  const { code: _, out, err, ...result } = await resultOf(
    ...asked("named.safetensors", CLIPS, "--stride", "1"),
  );
  assert.deepEqual(result, {
    // cat is the sixth of its scores.
    ...{ task: "video", top1: 0.6667, top5: 0.6667, n: 3, views: 15, skipped: 1, padded: 1 },
    split: "all",
    checkpoint: named,
  });
  const text = out.join("\n");
  assert.match(text, /^bee +100\.00 % +2$/m);
  assert.match(text, /^cat +bee +1$/m);
  assert.match(text, /^views that differ +23$/m); // 15, 3 and 5
  assert.deepEqual(err.filter((line) => /Skipped|9\.mp4/.test(line)), [
    ...["Skipped 1 bad file:", `  Cannot decode ${CLIPS}/cat/9.mp4: it is no video, or damaged`],
  ]);
});

Deno.test("eval video takes clips as the file says, and what the paper reports", async () => {
  await prepare();
  const paper = { top1: 0.707, where: "Figure 3" };
  const facts = { sampling: "segments", stride: 4, shortSide: 36, still: false, paper };
  const metadata = { clips: JSON.stringify(facts) };
  await writeVideoClassifier(at("facts.safetensors"), 7, { names: NAMES, metadata });
  const whole = await resultOf(...asked("facts.safetensors", CLIPS));
  assert.deepEqual([whole.views, whole.paper], [6, 0.707]);
  assert.match(whole.out.join("\n"), /^top-1 in the paper +70\.70 % \(Figure 3\)$/m);
  assert.match(whole.out[0], /^2 clips × 3 crops of each video/);
  const own = await resultOf(
    ...asked("facts.safetensors", CLIPS, "--sampling", "dense", "--clips", "3", "--crops", "2"),
    ...["--short-side", "40", "--frame-control", "batch.micro=2"],
  );
  assert.deepEqual([own.views, own.frameControl], [6, true]);
  assert.match(own.out.join("\n"), /^frames shown of each clip +the middle one alone$/m);
});

Deno.test("eval video gives the same by ffmpeg", { ignore: !hasFfmpeg }, async () => {
  await prepare();
  await writeVideoClassifier(at("drawn.safetensors"), 7, { names: NAMES });
  const { out } = await resultOf(...asked("drawn.safetensors", CLIPS));
  const again = await resultOf(...asked("drawn.safetensors", CLIPS, "--decoder", "ffmpeg"));
  assert.deepEqual(again.out, out);
});

Deno.test("eval video holds out what a run held out", async () => {
  await prepare();
  for (let i = 0; i < 8; i++) await writeClip(`${at("many")}/${NAMES[i % 2 + 1]}/${i}.mp4`, i);
  const { n } = await resultOf(
    ...asked("named.safetensors", at("many"), "data.valShare=0.4", "--clips", "1", "--crops", "1"),
  );
  assert.ok(n as number > 0 && n as number < 8);
});

Deno.test("eval video refuses what it cannot use, in one sentence", async () => {
  await prepare();
  const list = async (name: string, lines: readonly string[]) => {
    await Deno.writeTextFile(at(name), lines.join("\n"));
    return at(name);
  };
  const beyond = await list("beyond.csv", [`${CLIPS}/bee/1.mp4 0`, `${CLIPS}/bee/2.mp4 7`]);
  const bare = await list("bare.csv", [`${CLIPS}/bee/1.mp4`]);
  await writeClip(`${at("gnu")}/gnu/1.mp4`, 1);
  await fails(
    asked("pretrained.safetensors", CLIPS),
    2,
    `Cannot classify with ${at("pretrained.safetensors")}: it is no classifier, it has no ` +
      "head.weight; make one with deno task finetune",
  );
  await fails(
    asked("images.safetensors", CLIPS),
    2,
    `Cannot use ${at("images.safetensors")}: it is a model of images, and this task is for clips`,
  );
  await fails(
    ["classify", "--checkpoint", named, "--data", "bundled:photos"],
    2,
    `Cannot use ${named}: it is a model of clips, and this task is for images`,
  );
  await fails(
    asked("two.safetensors", at("gnu")),
    2,
    `Cannot classify ${at("gnu")}: it has 1 classes, the head of ${at("two.safetensors")} has 2`,
  );
  await fails(
    asked("named.safetensors", at("gnu")),
    2,
    `Cannot classify ${at("gnu")}: the model in ${named} does not know its class gnu`,
  );
  await fails(
    asked("named.safetensors", beyond),
    2,
    `Cannot classify ${beyond}: it has the label 7, but the 7 classes of ${named} end at 6`,
  );
  await fails(
    asked("named.safetensors", bare),
    2,
    `Cannot use ${bare}: its videos have no labels; write a label behind each path`,
  );
  await fails(
    asked("named.safetensors", CLIPS, "--decoder", "vlc"),
    2,
    "Option --decoder expects one of node-av, ffmpeg, got vlc",
  );
  await fails(
    asked("named.safetensors", CLIPS, "--crops", "0"),
    2,
    "Option --crops expects a positive integer, got 0",
  );
  await fails(
    asked("named.safetensors", CLIPS, "--short-side", "20"),
    2,
    "Option --short-side expects 32 or more, the side of the model's clips, got 20",
  );
  await fails(
    asked("named.safetensors", at("nowhere")),
    2,
    /^Cannot read .*nowhere: no such file/,
  );
});

Deno.test("eval video says where there is no ffmpeg to decode with", async () => {
  await prepare();
  const path = Deno.env.get("PATH")!;
  Deno.env.set("PATH", at("nowhere"));
  try {
    await fails(
      asked("named.safetensors", CLIPS, "--decoder", "ffmpeg"),
      1,
      "Cannot decode videos: there is no ffmpeg on PATH; install it, for instance by apt-get " +
        "install ffmpeg, or choose the decoder node-av",
    );
  } finally {
    Deno.env.set("PATH", path);
  }
});
