import assert from "node:assert/strict";
import { loadClips } from "../../../data/clips/loader.ts";
import { findClips } from "../../../data/clips/find.ts";
import { override } from "../../../pipelines/recipe.ts";
import { findAnyFinetuneRecipe } from "../../../pipelines/recipes/mod.ts";
import {
  videoFinetune,
  videoFinetuneK400,
  videoFinetuneRecipes,
  videoFinetuneSsv2,
} from "../../../pipelines/recipes/video_finetune.ts";
import { peakRate } from "../../../pipelines/pretrain.ts";
import { normaliseClips } from "../../../pipelines/video/clips.ts";
import { initialClassifier } from "../../../pipelines/finetune.ts";
import { videoFinetuneTask } from "../../../pipelines/video/finetune.ts";
import {
  completeClips,
  validateVideoFinetune,
  videoClassifierOf,
} from "../../../pipelines/video/finetune_recipe.ts";
import { stillClips } from "../../../pipelines/video/still.ts";
import { loadSafetensors } from "../../../src/safetensors.ts";
import type { Tensor } from "../../../src/tensor.ts";
import { complaints, exists, metricsOf, type Outcome, runTask, scratch } from "../run_pretrain.ts";
import { writeAutoencoder } from "../tiny_models.ts";
import { VIDEO_MAE, writeClasses, writeClip, writeVideoAutoencoder } from "./tiny_video_models.ts";

const DATA = `${scratch}/classes`;
const PRETRAINED = `${scratch}/clips.safetensors`;
const IMAGES = `${scratch}/images.safetensors`;
const never = `${scratch}/never`;
let prepared: Promise<unknown> | undefined;

/** Class folders of bright and dark clips, and models with random parameters. */
async function prepare(): Promise<void> {
  await (prepared ??= Promise.all([
    writeClasses(DATA),
    writeVideoAutoencoder(PRETRAINED),
    writeAutoencoder(IMAGES),
  ]));
}

const BASIC = [
  ...["video_finetune", "--checkpoint", PRETRAINED, "--data", `${DATA}/train`],
  ...["batch.micro=4", "data.shortSide=36"],
];
const finetune = (...args: string[]): Promise<Outcome> => runTask("finetune", args);

async function succeeds(...args: string[]): Promise<Outcome> {
  await prepare();
  const outcome = await finetune(...args);
  assert.equal(outcome.code, 0, outcome.err);
  return outcome;
}

async function refused(args: string[], code: number, sentence: string | RegExp): Promise<void> {
  await prepare();
  const outcome = await finetune(...args);
  const last = complaints(outcome).at(-1)!;
  if (typeof sentence === "string") assert.equal(last, sentence);
  else assert.match(last, sentence);
  assert.equal(outcome.code, code, outcome.err);
}

async function evaluated(...args: string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await runTask("eval", ["video", ...args]);
  assert.equal(code, 0, err);
  return JSON.parse(out.trimEnd().split("\n").at(-1)!);
}

Deno.test("finetune learns classes of clips, validates, and eval video knows its clips", async () => {
  const out = `${scratch}/tuned`;
  const { err, out: text } = await succeeds(
    ...[...BASIC, `data.valPath=${DATA}/val`, "--out", out],
    ...["schedule.epochs=10", "schedule.warmupEpochs=1", "checkpoint.every=10"],
    ...["optimizer.blr=0.3", "optimizer.layerDecay=1", "mix.smoothing=0", "data.sampling=segments"],
  );
  assert.match(err, /55 of 59 parameters are loaded\nNot in the file: fc_norm.\*: 2, head.\*: 2/);
  assert.match(
    text,
    /^clips +8 of .*\/train at 4 frames × 32 × 32, one of each of 4 segments, 8 /m,
  );
  assert.match(text, /^classes +2$/m);
  const metrics = await metricsOf(out) as { loss: number; val_top1?: number; val_top5?: number }[];
  assert.ok(metrics[0].loss > 0.69 && metrics[0].loss < 0.7); // ln 2: no preference
  assert.ok(metrics.at(-1)!.val_top1! >= 7 / 8, JSON.stringify(metrics.at(-1)));
  assert.equal(metrics.at(-1)!.val_top5, 1);
  const { tensors, metadata } = await loadSafetensors(`${out}/best.safetensors`);
  assert.deepEqual(tensors.get("head.weight")!.shape, [2, 16]);
  assert.deepEqual(JSON.parse(metadata.classes), ["bright", "dark"]);
  assert.equal(JSON.parse(metadata.model).kind, "videomcmae");
  assert.deepEqual(JSON.parse(metadata.clips), {
    ...{ sampling: "segments", stride: 2, shortSide: 36, still: false, paper: null },
  });
  const checkpoint = `${out}/best.safetensors`;
  const next = `deno task eval video --checkpoint ${checkpoint} --data ${DATA}/val`;
  assert.ok(text.includes(`Next: ${next}\n`));
  assert.ok(await exists(`${out}/report.html`));

  const { top1, ...rest } = await evaluated("--checkpoint", checkpoint, "--data", `${DATA}/val`);
  assert.ok(top1 as number >= 7 / 8);
  const counts = { n: 8, views: 6, skipped: 0, padded: 0 };
  const expected = { task: "video", top5: 1, ...counts, split: "all", checkpoint };
  assert.deepEqual(rest, expected);
  // One view of each video is what the run validates on.
  const best = Math.max(...metrics.map(({ val_top1 }) => val_top1 ?? 0));
  const one = ["--clips", "1", "--crops", "1"];
  const single = await evaluated("--checkpoint", checkpoint, "--data", `${DATA}/val`, ...one);
  assert.deepEqual([single.top1, single.views], [Number(best.toFixed(4)), 1]);
});

Deno.test("finetune on clips with every augmentation resumes to the same bits", async () => {
  const fields = [
    ...["augment.randAugment=rand-m7-n4-mstd0.5-inc1", "augment.eraseProbability=0.5"],
    ...["augment.repeats=2", "mix.mode=elem", "mix.mixupAlpha=0.8", "mix.cutmixAlpha=1"],
    ...["model.dropPath=0.3", "optimizer.emaDecay=0.9", "batch.effective=4", "model.pooling=token"],
    ...["data.crop.flip=true", "data.still=true"],
  ];
  const [whole, parts] = [`${scratch}/whole`, `${scratch}/parts`];
  await Promise.all([
    succeeds(...BASIC, ...fields, "--out", whole, "--steps", "4"),
    (async () => {
      await succeeds(...BASIC, ...fields, "--out", parts, "--steps", "2", "schedule.epochs=20");
      const { out } = await succeeds("--resume", "--out", parts, "--steps", "4");
      assert.match(out, /^clips .* × 32, the middle one alone/m);
      // Four videos an update: two micro-batches of two videos in two views each.
      assert.match(out, /^batch +4 effective = 2 × 2 micro-batches$/m);
      assert.match(out, /^views +2 of each clip, 4 on the device at once$/m);
      assert.match(out, /^steps +2 done of 4 \(2\.0 epochs\)$/m);
    })(),
  ]);
  for (const name of ["checkpoint", "ema"]) {
    const [a, b] = await Promise.all(
      [whole, parts].map((folder) => Deno.readFile(`${folder}/${name}.safetensors`)),
    );
    assert.deepEqual(a.toHex(), b.toHex());
  }
  const { metadata } = await loadSafetensors(`${whole}/checkpoint.safetensors`);
  assert.equal(JSON.parse(metadata.clips).still, true);
  // A model of still clips is evaluated on them.
  const checkpoint = `${whole}/checkpoint.safetensors`;
  const result = await evaluated("--checkpoint", checkpoint, "--data", `${DATA}/val`);
  assert.deepEqual([result.frameControl, result.n, result.views], [true, 8, 15]);
});

Deno.test("finetune takes VideoMAE, and bears clips that are short or corrupt", async () => {
  await prepare();
  const data = `${scratch}/spoilt`;
  await writeClip(`${data}/bright/0.mp4`, 0);
  await writeClip(`${data}/dark/1.mp4`, 1, { frames: 5 });
  await Deno.writeTextFile(`${data}/dark/2.mp4`, "no video");
  const [checkpoint, out] = [`${scratch}/mae.safetensors`, `${scratch}/mae`];
  await writeVideoAutoencoder(checkpoint, VIDEO_MAE);
  const { err } = await succeeds(
    ...["video_finetune", "--checkpoint", checkpoint, "--data", data, "--out", out],
    ...["--steps", "1", "batch.micro=4", "data.shortSide=36"],
  );
  assert.match(err, /28 of 32 parameters are loaded\n/);
  assert.match(err, /Some videos have fewer than 7 frames: their last ones are repeated/);
  assert.match(err, /Skipped 1 bad file:\n/);
  assert.match(await Deno.readTextFile(`${out}/bad_files.txt`), /dark\/2.mp4/);
  const { n, padded, skipped } = await evaluated(
    ...["--checkpoint", `${out}/checkpoint.safetensors`, "--data", data],
  );
  assert.deepEqual([n, padded, skipped], [2, 1, 1]);
});

Deno.test("finetune refuses models and clips that do not fit, in one sentence", async () => {
  await prepare();
  const list = async (name: string, labels: readonly (number | string)[]) => {
    const path = `${scratch}/${name}.csv`;
    const lines = labels.map((label, i) => `${DATA}/train/dark/${i}.mp4 ${label}`.trimEnd());
    await Deno.writeTextFile(path, lines.join("\n"));
    return path;
  };
  const [bare, half, alone] = await Promise.all([
    list("bare", ["", "", ""]),
    list("half", [0, 1, -1]),
    list("alone", [2, 2]),
  ]);
  const [two, three] = [await list("two", [0, 1]), await list("three", [0, 1, 2])];
  const given = ["--checkpoint", PRETRAINED, "--out", never, "batch.micro=4"];
  await Promise.all([
    refused(
      ["video_finetune", "--checkpoint", IMAGES, "--data", DATA, "--out", never],
      2,
      `Cannot use ${IMAGES} with the recipe video_finetune: it is a model of images, not of clips`,
    ),
    refused(
      ["--checkpoint", PRETRAINED, "--data", DATA, "--out", never],
      2,
      `Cannot use ${PRETRAINED} with the recipe finetune: it is a model of clips, not of images`,
    ),
    refused(
      ["video_finetune", ...given, "--data", bare],
      2,
      `Cannot use ${bare}: its videos have no labels; write a label behind each path`,
    ),
    refused(
      ["video_finetune", ...given, "--data", half],
      2,
      `Cannot use ${half}: 1 of its 3 videos has no label; write a label behind each path`,
    ),
    refused(
      ["video_finetune", ...given, "--data", alone],
      2,
      `Cannot use ${alone}: all videos are of one class, 2; ` +
        "name the folder whose subfolders are the classes",
    ),
    refused(
      ["video_finetune", ...given, "--data", two, `data.valPath=${three}`],
      2,
      `Cannot use ${three}: it has the label 2, but those to train on end at 1`,
    ),
    refused(
      [...BASIC, "--out", never, "--decoder", "vlc"],
      2,
      "Recipe field data.decoder expects one of node-av, ffmpeg, got vlc",
    ),
    refused(
      ["--checkpoint", IMAGES, "--data", DATA, "--decoder", "ffmpeg"],
      2,
      "Option --decoder is for recipes of videos: finetune is of images",
    ),
    refused(
      [...BASIC, "--out", never, "augment.repeats=3"],
      2,
      "Recipe field batch.micro must be a multiple of augment.repeats = 3, got 4",
    ),
    refused(
      [...BASIC, "--out", never, "model.frames=5"],
      2,
      "Recipe field model.frames must be a multiple of model.tubelet = 2, got 5",
    ),
    refused(
      ["video_finetune_k4", "--checkpoint", PRETRAINED, "--data", DATA],
      2,
      "Unknown recipe video_finetune_k4: did you mean video_finetune_k400?",
    ),
  ]);
  assert.ok(!await exists(never));
});

Deno.test("presets of clips fit the model of a checkpoint, and have the published figures", async () => {
  await prepare();
  const baseline = `${scratch}/baseline.safetensors`;
  await writeVideoAutoencoder(baseline, VIDEO_MAE);
  for (const preset of videoFinetuneRecipes) {
    assert.equal(findAnyFinetuneRecipe(preset.name), preset);
    for (const checkpoint of [PRETRAINED, baseline]) {
      const recipe = await completeClips(preset, checkpoint);
      validateVideoFinetune(override(recipe, ["data.path=bundled:motions"]));
      assert.deepEqual(recipe.data.mean, VIDEO_MAE.mean);
    }
  }
  // 5e-4 · 512 / 256 for 512 videos an update
  assert.equal(peakRate(videoFinetuneK400), 1e-3);
  assert.deepEqual([videoFinetuneK400.paper!.top1, videoFinetuneSsv2.paper!.top1], [0.827, 0.707]);
  assert.deepEqual([videoFinetuneK400.data.stride, videoFinetuneK400.data.crop.flip], [4, true]);
  assert.deepEqual(
    [videoFinetuneSsv2.data.sampling, videoFinetuneSsv2.data.crop.flip],
    ["segments", false],
  );
  assert.equal(videoFinetune.paper, null);
});

Deno.test("videoFinetuneTask() makes batches of all views, mixed alike over time", async () => {
  await prepare();
  const recipe = override(await completeClips(videoFinetune, PRETRAINED), [
    ...[`data.path=${DATA}/train`, "data.shortSide=36", "augment.repeats=2"],
    ...["batch.micro=4", "batch.effective=8", "mix.cutmixAlpha=1", "mix.smoothing=0"],
  ]);
  const source = await findClips(recipe.data.path!);
  const settings = videoClassifierOf(recipe, 2);
  const params = initialClassifier(recipe, settings);
  const task = videoFinetuneTask(recipe, params, { source, classes: 2 });
  assert.deepEqual([task.microBatch, task.accumulate, task.steps], [2, 4, 20]);
  const batchOf = async (task: ReturnType<typeof videoFinetuneTask>, position: number) => {
    const batches = task.batches(position);
    const { value } = await batches.next();
    await batches.return();
    return value!;
  };
  const dataOf = ({ source }: Tensor) => (source as { data: Float32Array<ArrayBuffer> }).data;
  const { images, targets } = await batchOf(task, 2);
  assert.deepEqual([images.shape, targets.shape], [[4, 4, 32, 32, 3], [4, 2]]);

  const plain = override(recipe, ["mix.cutmixAlpha=0"]);
  const unmixed = await batchOf(videoFinetuneTask(plain, params, { source, classes: 2 }), 2);
  const { crop: { scale }, shortSide } = recipe.data;
  const loading = loadClips({
    ...{ source, seed: 0, start: 2, batch: 2, repeats: 2, workers: 1, shortSide, flip: false },
    crop: { kind: "random-resized", width: 32, height: 32, scale },
    sampling: { kind: "dense", frames: 4, stride: 2 },
  });
  const { value: loaded } = await loading.next();
  await loading.return();
  assert.deepEqual(dataOf(unmixed.images), normaliseClips(loaded!.clips, recipe.data));

  // What CutMix took from the partner is the same box in all frames of a clip.
  const [mixed, own] = [dataOf(images), dataOf(unmixed.images)];
  const size = 4 * 32 * 32 * 3;
  for (let n = 0; n < 4; n++) {
    const at = (values: Float32Array, clip: number, t: number, place: number) =>
      values[clip * size + (t * 32 * 32 + place) * 3];
    for (let place = 0; place < 32 * 32; place++) {
      const isFrom = (clip: number) =>
        [0, 1, 2, 3].every((t) => at(mixed, n, t, place) === at(own, clip, t, place));
      assert.ok(isFrom(n) || isFrom(3 - n));
    }
  }
  assert.notDeepEqual(mixed, own);

  const still = override(plain, ["data.still=true"]);
  const control = await batchOf(videoFinetuneTask(still, params, { source, classes: 2 }), 2);
  const frames = stillClips(loaded!.clips, loaded!.shape);
  assert.deepEqual(dataOf(control.images), normaliseClips(frames, recipe.data));
});
