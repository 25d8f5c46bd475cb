import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import type { ImageBatch } from "../../data/loader.ts";
import type { FileSource } from "../../data/source.ts";
import { openImages, photosFolder } from "../../pipelines/images.ts";
import { pretrainTask } from "../../pipelines/pretrain.ts";
import { override } from "../../pipelines/recipe.ts";
import { findRecipe } from "../../pipelines/recipes/mod.ts";
import { loadSafetensors } from "../../src/safetensors.ts";
import {
  complaints,
  drawing,
  drawings,
  exists,
  fails,
  filesOf,
  metricsOf,
  pretrain,
  scratch,
  startPretrain,
  succeeds,
  TINY,
} from "./run_pretrain.ts";

const never = `${scratch}/never`; // no refused command may write here
let finished: Promise<string> | undefined;

const STATE = (step: number) => `checkpoints/step-00000${step}.safetensors`;

/** A copy of a run of two steps. */
async function copyOfRun(name: string): Promise<string> {
  finished ??= (async () => {
    const out = `${scratch}/finished`;
    await succeeds([...TINY, "--data", await drawings(8), "--steps", "2", "--out", out]);
    return out;
  })();
  await cp(await finished, `${scratch}/${name}`, { recursive: true });
  return `${scratch}/${name}`;
}

Deno.test("pretrain refuses a folder that is missing, empty or a file", async () => {
  await Deno.mkdir(`${scratch}/empty`);
  await Deno.writeTextFile(`${scratch}/file`, "");
  const refused = (data: string, sentence: string) =>
    fails([...TINY, "--data", data, "--out", never], 2, sentence);
  await Promise.all([
    refused("nowhere", "Cannot read folder nowhere: no such folder"),
    refused("file", "Cannot use file: it lists no image"),
    refused(
      "empty",
      "Cannot use folder empty: it holds no JPEG, PNG, WebP, GIF, AVIF, TIFF or .npy image",
    ),
    fails(
      ["fashion_mnist", "--data", "empty", "--out", never],
      2,
      "Cannot use folder empty: it holds no JPEG, PNG, WebP, GIF, AVIF, TIFF or .npy image",
    ),
    fails(
      ["mcmae_base", "--out", never],
      2,
      "Recipe field data.path is needed: add --data DIR",
    ),
  ]);
  assert.ok(!await exists(never));
});

Deno.test("pretrain refuses arguments that make no sense and names the nearest", async () => {
  const refused = (args: string[], sentence: string | RegExp) =>
    fails([...TINY, "--out", never, ...args], 2, sentence);
  await Promise.all([
    refused(["quikstart"], "Unknown recipe quikstart: did you mean quickstart?"),
    refused(["quickstart", "mae_base"], "Expected one recipe, got quickstart and mae_base"),
    refused(["batch.mirco=2"], "Unknown recipe field batch.mirco: did you mean batch.micro?"),
    refused(["batch.micro=two"], "Recipe field batch.micro expects a number, got two"),
    refused(["--steps", "x"], "Recipe field schedule.steps expects a number or null, got x"),
    refused(["--steps", "0"], "Recipe field schedule.steps must be a positive integer, got 0"),
    refused(["--seed", "1.5"], "Recipe field seed must be an integer from 0 up, got 1.5"),
    refused(["--fast"], "Unknown option '--fast': see deno task pretrain --help"),
    refused(["--data", "--dense"], /^Option '--data' argument is ambiguous: see .* --help$/),
    refused(
      ["model.imageSize=32,36"],
      "Recipe field model.imageSize has 36, which the stride 8 (patch sizes 4 × 2 × 1) does not " +
        "divide: the nearest sizes that work are 32 and 40",
    ),
    refused(
      ["model.channels=5"],
      "Recipe field data.mean must be one number for each of the 5 channels, " +
        "got 0.485,0.456,0.406",
    ),
    refused(["optimizer.rates=blocks1.*"], /^Recipe field optimizer.rates expects pattern:factor/),
    refused(
      ["optimizer.rates=blokcs1.*:0"],
      "Recipe field optimizer.rates: no parameter matches blokcs1.*",
    ),
    refused(["faults.policy=ignore"], /^Recipe field faults.policy expects one of stop, skip, /),
    refused(["--profile", "0"], "Option --profile expects a number of steps, got 0"),
    fails(
      [...TINY, "--out", never, "model.channels=5", "data.mean=0,0,0,0,0", "data.std=1,1,1,1,1"],
      1,
      /^Cannot load images: 101 of 128 are bad .*, first: Cannot use .*: it has 3 bands, not 5$/,
    ),
  ]);
  assert.ok(!await exists(never));
});

Deno.test("pretrain skips, counts and names bad files, and uses every good one", async () => {
  const data = `${scratch}/mixed`;
  await Deno.mkdir(data);
  await drawing(0).jpeg().toFile(`${data}/colour.jpg`);
  await drawing(1).greyscale().png().toFile(`${data}/grey.png`);
  await drawing(2).ensureAlpha(0.5).png().toFile(`${data}/alpha.png`);
  await drawing(3).toColourspace("cmyk").jpeg().toFile(`${data}/cmyk.jpg`);
  await drawing(4, 5, 3).webp().toFile(`${data}/smaller_than_the_crop.webp`);
  await Deno.writeTextFile(`${data}/text.jpg`, "This is no picture");
  const whole = await drawing(5, 200, 200).jpeg().toBuffer();
  await Deno.writeFile(`${data}/truncated.jpg`, whole.subarray(0, whole.length / 2));
  await Deno.symlink("gone.jpg", `${data}/link.jpg`);

  const out = `${scratch}/skipping`;
  // Three steps of four samples: more than an epoch.
  const outcome = await succeeds([...TINY, "--data", data, "--steps", "3", "--out", out]);
  const [title, ...named] = complaints(outcome);
  assert.equal(title, "Skipped 3 bad files:");
  assert.deepEqual(named, [
    `  Cannot read ${data}/link.jpg: no such file`,
    `  Cannot decode ${data}/text.jpg: ` +
    "it is not a JPEG, PNG, WebP, GIF, TIFF, AVIF or .npy image",
    `  Cannot decode ${data}/truncated.jpg: it is truncated or damaged`,
  ]);
  assert.equal((await metricsOf(out)).length, 3);
  assert.ok(await exists(`${out}/reconstruction.png`));

  await fails(
    [...TINY, "--data", data, "--out", never, "data.maxBad=0"],
    1,
    /^Cannot load images: 1 of 8 are bad \(maxBad allows 0\), first: Cannot .*mixed\/\w+\.jpg: /,
  );
  assert.ok(!await exists(never));
});

Deno.test("pretrain --steps 60 goes on with 5 % corrupted photos, names each, and loses no other", async () => {
  const data = `${scratch}/corrupted`;
  await cp(photosFolder(), data, { recursive: true });
  const { train: { files } } = await openImages({ path: data }) as { train: FileSource };
  const spoilt = files.filter((_, i) => i % 20 === 7); // 7 of 128
  for (const [i, file] of spoilt.entries()) {
    const bytes = await Deno.readFile(file);
    if (i % 2 === 0) await Deno.writeFile(file, bytes.subarray(0, bytes.length / 2));
    else await Deno.writeFile(file, bytes.map((byte) => byte ^ 0x55));
  }
  const out = `${scratch}/corrupted-run`;
  const outcome = await succeeds([...TINY, "--data", data, "--steps", "60", "--out", out]);
  const [title, ...named] = complaints(outcome);
  assert.equal(title, "Skipped 7 bad files:");
  const listed = (await Deno.readTextFile(`${out}/bad_files.txt`)).trimEnd().split("\n");
  for (const list of [named, listed]) {
    assert.equal(list.length, spoilt.length);
    spoilt.forEach((file) => assert.ok(list.some((line) => line.includes(file)), file));
  }
  assert.equal((await metricsOf(out)).length, 60);

  // The samples of this run's first epoch: every good photo is among them.
  const recipe = override(findRecipe("quickstart"), [...TINY, `data.path=${data}`]);
  const seen = new Set<string>();
  const { train } = await openImages({ path: data });
  const onBatch = ({ indices }: ImageBatch) => indices.forEach((index) => seen.add(files[index]));
  const batches = pretrainTask(recipe, train, onBatch).batches(0);
  for (let batch = 0; batch < 128 / 4; batch++) await batches.next();
  await batches.return();
  assert.deepEqual([...seen].sort(), files.filter((file) => !spoilt.includes(file)));
});

Deno.test("pretrain fails on a folder that holds bad files only", async () => {
  const data = `${scratch}/bad`;
  await Deno.mkdir(data);
  for (const name of ["a.jpg", "b.png"]) await Deno.writeTextFile(`${data}/${name}`, "no");
  await fails(
    [...TINY, "--data", data, "--out", never],
    1,
    `Cannot load images: 2 of 2 are bad, first: Cannot decode ${data}/a.jpg: ` +
      "it is not a JPEG, PNG, WebP, GIF, TIFF, AVIF or .npy image",
  );
  assert.ok(!await exists(never));
});

Deno.test("pretrain refuses an --out that holds a run or is no folder", async () => {
  const data = await drawings(8);
  const out = await copyOfRun("refused");
  const before = await filesOf(out);
  const picture = `${scratch}/picture`;
  await Deno.mkdir(picture);
  await Deno.writeTextFile(`${picture}/reconstruction.png`, "mine");
  await Deno.writeTextFile(`${scratch}/plain`, "");
  const start = [...TINY, "--data", data, "--steps", "1", "--out"];
  const holds = (folder: string) =>
    `Folder ${folder} holds a run: add --resume to continue it, or name another`;
  await Promise.all([
    fails([...start, out], 2, holds(out)),
    fails([...start, picture], 2, holds(picture)),
    fails([...start, "plain"], 2, "Cannot write to plain: it is not a folder"),
    fails(
      [...start, `${data}/run`],
      2,
      `Cannot write to ${data}/run: its pictures would become images of ${data}`,
    ),
    fails([...start, ""], 2, 'Cannot write to "": it is not a folder'),
    fails([...start, "plain/run"], 1, /^Cannot write to plain\/run: Not a directory/),
  ]);
  assert.deepEqual(await filesOf(out), before);
  assert.equal(await Deno.readTextFile(`${picture}/reconstruction.png`), "mine");
});

Deno.test("pretrain --resume refuses where there is no run, another recipe or nothing to do", async () => {
  const out = await copyOfRun("of_quickstart");
  await Promise.all([
    fails(["--resume"], 2, "Cannot resume runs/quickstart: it holds no run"),
    fails(["--resume", "--out", never], 2, `Cannot resume ${never}: it holds no run`),
    fails(
      ["mae_base", "--resume", "--out", out],
      2,
      `Cannot resume ${out} as mae_base: it is a run of quickstart`,
    ),
    fails(
      ["--resume", "--out", out, "--steps", "1"],
      2,
      `Cannot resume ${out} to step 1: it has done 2; raise --steps`,
    ),
    fails(
      ["--resume", "--out", out, "--steps", "4", "memory.activations=f16"],
      2,
      "Cannot resume with memory.activations = f16: the run has f32; start another",
    ),
    fails(
      ["--resume", "--out", out, "--steps", "4", "model.normPix=false"],
      2,
      "Cannot resume with model.normPix = false: the run has true; start another",
    ),
  ]);
  assert.ok(!await exists(never));
});

Deno.test("pretrain --resume refuses files that are damaged or of another model", async () => {
  const other = `${scratch}/other`;
  await copyOfRun("victim");
  await succeeds([
    ...[...TINY, "--data", await drawings(8), "--steps", "1", "--out", other],
    ...["model.multiScaleDecoder=false", "model.kernelSize=7"],
  ]);
  const spoilt = async (
    name: string,
    spoil: (out: string) => Promise<void>,
    sentence: RegExp,
    args: string[] = [],
  ) => {
    const out = await copyOfRun(name);
    await spoil(out);
    const before = await filesOf(out);
    await fails(["--resume", "--steps", "4", "--out", out, ...args], 1, sentence);
    assert.deepEqual(await filesOf(out), before);
  };
  const truncate = async (path: string) => {
    await Deno.truncate(path, (await Deno.stat(path)).size - 100);
  };
  await Promise.all([
    spoilt(
      "swapped_state",
      (out) => Deno.copyFile(`${other}/${STATE(1)}`, `${out}/${STATE(2)}`),
      /^Cannot use .*swapped_state\/checkpoints\/step-000002\.safetensors: it is of another model: /,
    ),
    spoilt(
      "cut_state",
      (out) => truncate(`${out}/${STATE(2)}`),
      /^Cannot read .*cut_state\/checkpoints\/step-000002\.safetensors: /,
    ),
    spoilt(
      "lost_state",
      (out) => Deno.remove(`${out}/checkpoints`, { recursive: true }),
      /^Cannot resume .*lost_state: it has no checkpoints$/,
    ),
    spoilt(
      "other_recipe",
      (out) => Deno.writeTextFile(`${out}/recipe.json`, '{"name": "quickstart", "source": "?"}'),
      /^Cannot read .*other_recipe\/recipe\.json: it has no \w+$/,
    ),
    spoilt(
      "torn_recipe",
      (out) => truncate(`${out}/recipe.json`),
      /^Cannot read .*torn_recipe\/recipe\.json: /,
    ),
  ]);
});

Deno.test("pretrain --resume starts a run anew that was killed before it saved", async () => {
  const out = `${scratch}/killed`;
  const args = [...TINY, "--data", await drawings(8), "--out", out];
  const process = startPretrain([...args, "--steps", "100000", "checkpoint.every=100000"]);
  while (
    !await exists(`${out}/metrics.jsonl`) || (await metricsOf(out).catch(() => [])).length < 3
  ) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  process.kill("SIGKILL");
  await process.output();
  assert.ok(!await exists(`${out}/checkpoints`));
  await succeeds(["--resume", "--out", out, "--steps", "2"]);
  assert.deepEqual((await metricsOf(out)).map(({ step }) => step), [1, 2]);
});

Deno.test("pretrain says how to get an adapter where there is none", async () => {
  await fails(
    [...TINY, "--data", await drawings(8), "--out", never],
    1,
    "Found no WebGPU adapter: install a Vulkan driver " +
      "(Debian, Ubuntu: apt-get install libvulkan1 mesa-vulkan-drivers)",
    { DENO_WEBGPU_BACKEND: Deno.build.os === "windows" ? "metal" : "dx12" },
  );
  assert.ok(!await exists(never));
});

Deno.test("pretrain names the tensor and stage that exceed the adapter, and writes nothing", async () => {
  // 256 × 256 cells of 1024 channels: 256 MiB an image, twice WebGPU's default limit.
  const adapter = await navigator.gpu.requestAdapter();
  const factor = Math.ceil(adapter!.limits.maxStorageBufferBindingSize / 2 ** 27);
  const side = 1024 * Math.ceil(Math.sqrt(factor));
  await fails(
    [
      ...[...TINY, "--dense", "--data", await drawings(8), "--steps", "1", "--out", never],
      ...[`model.imageSize=${side},${side}`, "model.embedDims=1024,16,16", "batch.micro=2"],
    ],
    1,
    new RegExp(
      `^Use a smaller batch, image or model: linear \\[${side ** 2 / 8},1024\\] in stage encode ` +
        "takes \\d+ MiB, and .* binds at most \\d+ MiB$",
    ),
  );
  assert.ok(!await exists(never));
});

Deno.test("pretrain stops at a loss that is not finite and keeps the last good checkpoint", async () => {
  const out = `${scratch}/diverged`;
  const args = ["optimizer.blr=1e30", "checkpoint.every=1", "--steps", "20", "--out", out];
  await fails(
    [...TINY, "--data", await drawings(8), ...args],
    1,
    /^Loss or gradient is not finite at step 3: first in .+ \[[\d,]+\] of stage (encode|decode|loss); resume with /,
  );
  const metrics = await metricsOf(out);
  assert.deepEqual(metrics.map(({ step }) => step), [1, 2]); // the first has rate 0
  assert.ok(metrics.every((line) => Object.values(line).every(Number.isFinite)));
  for (const name of ["checkpoint.safetensors", STATE(2)]) {
    const { tensors, metadata } = await loadSafetensors(`${out}/${name}`);
    assert.equal(metadata.step, "2");
    assert.ok(tensors.values().every(({ data }) => (data as Float32Array).every(Number.isFinite)));
  }
  const again = await pretrain(["--resume", "--out", out]);
  assert.match(complaints(again)[0], /^Loss or gradient is not finite at step 3: /);
});
