import assert from "node:assert/strict";
import sharp from "sharp";
import { evaluationCrop } from "../../data/augment.ts";
import { decodeImage } from "../../data/decode.ts";
import { peakRate } from "../../pipelines/pretrain.ts";
import { override } from "../../pipelines/recipe.ts";
import { findRecipe } from "../../pipelines/recipes/mod.ts";
import { loadSafetensors } from "../../src/safetensors.ts";
import { warmupCosine } from "../../src/schedule.ts";
import {
  drawings,
  exists,
  lossesOf,
  metricsOf,
  type Outcome,
  pretrain,
  scratch,
  succeeds,
  TINY,
} from "./run_pretrain.ts";

const COUNT = 8; // images
const reference = `${scratch}/reference`;
let made: Promise<Outcome> | undefined;

/** Six steps, which most tests look at. */
async function makeReference(): Promise<Outcome> {
  return await (made ??= runTo("reference", ["--steps", "6"]));
}

async function runTo(name: string, args: string[]): Promise<Outcome> {
  return await succeeds([...TINY, "--data", await drawings(COUNT), "--out", name, ...args]);
}

function bytesOf(folder: string): Promise<Uint8Array> {
  return Deno.readFile(`${scratch}/${folder}/checkpoint.safetensors`);
}

function near(actual: number[], expected: number[], bound: number) {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, i) =>
    assert.ok(Math.abs(value - expected[i]) <= bound * Math.abs(expected[i]), `${actual}`)
  );
}

Deno.test("pretrain prints its plan, then what it wrote and what to do next", async () => {
  const { out } = await makeReference();
  const lines = out.split("\n");
  const value = (name: string) => lines.find((line) => line.startsWith(name))?.slice(12);
  assert.match(value("recipe")!, /^quickstart — /);
  assert.match(value("parameters")!, /^[\d,]+ trained, 512 frozen$/);
  assert.match(value("memory")!, /^\d+ MiB /);
  assert.match(value("dispatches")!, /^\d+ a step$/);
  assert.match(value("images")!, /^8 of \/.* at 32 × 32$/);
  assert.equal(value("batch"), "4 effective = 4 × 1 micro-batch");
  assert.equal(value("rate"), "0.000375 = 0.024 × 4 / 256");
  assert.equal(value("steps"), "6 (3.0 epochs)");
  assert.equal(value("out"), "reference");
  const written: string[] = [];
  for await (const { name } of Deno.readDir(reference)) written.push(name);
  assert.deepEqual(written.filter((name) => !/^events|^\.lock$/.test(name)).sort(), [
    ...["best.safetensors", "checkpoint.safetensors", "checkpoints", "metrics.jsonl", "panels"],
    ...["recipe.json", "reconstruction.png", "report.html", "run.json"],
  ]);
  const named = lines.filter((line) => line.startsWith("  ")).map((line) => line.split(/ +/)[1]);
  for (const name of named) assert.ok(written.includes(name.replace("/", "")), name);
  assert.match(lines.at(-2)!, /^Next: deno task pretrain --resume --out reference --steps N /);
});

Deno.test("pretrain --help teaches and starts nothing", async () => {
  const { code, out, err } = await pretrain(["--help"]);
  assert.deepEqual({ code, err }, { code: 0, err: "" });
  for (const word of ["quickstart", "mae_base", "--resume", "batch.effective"]) {
    assert.ok(out.includes(word), word);
  }
});

Deno.test("metrics.jsonl has one object a step, with the rate of warmupCosine()", async () => {
  await makeReference();
  const metrics = await metricsOf(reference);
  const recipe = override(findRecipe("quickstart"), TINY);
  assert.deepEqual(metrics.map(({ step }) => step), [1, 2, 3, 4, 5, 6]);
  for (const line of metrics) {
    const names = ["step", "epoch", "loss", "lr", "grad_norm", "images_per_s", "data_wait"];
    assert.deepEqual(Object.keys(line), names);
    assert.ok(Object.values(line).every(Number.isFinite));
    assert.equal(line.epoch, line.step * 4 / COUNT);
    const rate = warmupCosine(
      { ...recipe.schedule, lr: peakRate(recipe), minLr: 0 },
      (line.step - 1) * 4 / COUNT,
    );
    assert.equal(line.lr, rate);
    assert.ok(line.loss > 0 && line.grad_norm > 0 && line.images_per_s > 0);
  }
});

Deno.test("recipe.json is the recipe with everything that the command line changed", async () => {
  await makeReference();
  const fields = [...TINY, `data.path=${await drawings(COUNT)}`];
  assert.deepEqual(
    JSON.parse(await Deno.readTextFile(`${reference}/recipe.json`)),
    override(findRecipe("quickstart"), [...fields, "schedule.steps=6"]),
  );
});

Deno.test("checkpoint.safetensors has the published names and ranks", async () => {
  await makeReference();
  const golden = JSON.parse(await Deno.readTextFile("tests/golden/mcmae_param_names.json"));
  const published: Record<string, number[]> = golden.pretrain_B.state_dict;
  // One block of each kind.
  const names = Object.keys(published).filter((name) => !/blocks\d?\.[1-9]/.test(name));
  const { tensors, metadata } = await loadSafetensors(`${reference}/checkpoint.safetensors`);
  assert.deepEqual([...tensors.keys()].sort(), names.sort());
  for (const [name, { dtype, shape }] of tensors) {
    assert.equal(dtype, "F32");
    assert.equal(shape.length, published[name].length, name);
  }
  const shapeOf = (name: string) => tensors.get(name)!.shape;
  assert.deepEqual(shapeOf("patch_embed1.proj.weight"), [16, 3, 4, 4]);
  assert.deepEqual(shapeOf("blocks2.0.attn.weight"), [16, 1, 5, 5]);
  assert.deepEqual(shapeOf("blocks3.0.attn.qkv.weight"), [48, 16]);
  assert.deepEqual(shapeOf("stage1_output_decode.weight"), [16, 16, 2, 2]);
  assert.deepEqual(shapeOf("decoder_pred.weight"), [8 * 8 * 3, 16]);
  const { model, ...others } = metadata;
  const imagenet = { mean: "[0.485,0.456,0.406]", std: "[0.229,0.224,0.225]" };
  assert.deepEqual(others, { format: "pt", step: "6", ...imagenet }); // no clock time
  assert.equal(JSON.parse(model).heads, 2); // which no shape tells
});

Deno.test("equal seeds give equal bytes with one worker or two, other seeds do not", async () => {
  await makeReference();
  await Promise.all([
    runTo("two_workers", ["--steps", "6", "data.workers=2"]),
    runTo("other_seed", ["--steps", "6", "--seed", "1"]),
  ]);
  const expected = await bytesOf("reference");
  assert.deepEqual(await bytesOf("two_workers"), expected);
  assert.notDeepEqual(await bytesOf("other_seed"), expected);
});

Deno.test("three steps and --resume equal six steps, bit for bit", async () => {
  await makeReference();
  await runTo("halves", ["--steps", "3"]);
  // As a run leaves it that was killed after its checkpoint.
  const later = `{"step":4,"loss":9}\n{"step":5,"lo`;
  await Deno.writeTextFile(`${scratch}/halves/metrics.jsonl`, later, { append: true });
  const { out } = await succeeds(["--resume", "--out", "halves", "--steps", "6"]);
  assert.match(out, /^steps +3 done of 6 /m);
  assert.deepEqual(await bytesOf("halves"), await bytesOf("reference"));
  const timeless = async (folder: string) =>
    (await metricsOf(folder)).map((line) => ({ ...line, images_per_s: 0, data_wait: 0 }));
  assert.deepEqual(await timeless(`${scratch}/halves`), await timeless(reference));
});

Deno.test("batch.effective accumulates micro-batches to the same step, and --resume keeps it", async () => {
  await makeReference();
  await runTo("micro", ["--steps", "3", "batch.micro=2", "batch.effective=4"]);
  const [losses, expected] = [await lossesOf(`${scratch}/micro`), await lossesOf(reference)];
  near(losses.slice(0, 1), expected.slice(0, 1), 1e-6);
  near(losses, expected.slice(0, 3), 1e-5);

  const { out } = await succeeds(["--resume", "--out", "micro", "--steps", "5", "batch.micro=4"]);
  assert.match(out, /^batch +4 effective = 4 × 1 micro-batch$/m);
  near(await lossesOf(`${scratch}/micro`), expected.slice(0, 5), 1e-5);
});

Deno.test("--dense computes the same losses", async () => {
  await makeReference();
  await runTo("dense", ["--steps", "3", "--dense"]);
  near(await lossesOf(`${scratch}/dense`), (await lossesOf(reference)).slice(0, 3), 1e-5);
});

Deno.test("optimizer.clipNorm bounds what reaches the moments, and logs the norm before", async () => {
  await makeReference();
  await runTo("clipped", ["--steps", "1", "optimizer.clipNorm=0.01"]);
  const [{ grad_norm }] = await metricsOf(`${scratch}/clipped`);
  near([grad_norm], [(await metricsOf(reference))[0].grad_norm], 1e-6);
  const { tensors } = await loadSafetensors(
    `${scratch}/clipped/checkpoints/step-000001.safetensors`,
  );
  const squares = tensors.entries().filter(([name]) => name.startsWith("optimizer.exp_avg."))
    .map(([, { data }]) => (data as Float32Array).reduce((sum, x) => sum + x * x, 0));
  const norm = Math.sqrt(squares.reduce((sum, x) => sum + x, 0));
  near([norm], [(1 - 0.9) * 0.01], 1e-3);
});

Deno.test("pretrain writes to runs/<recipe>, -2, -3, and --resume takes the latest", async () => {
  const args = [...TINY, "--data", await drawings(COUNT), "--steps", "1"];
  for (const folder of ["quickstart", "quickstart-2", "quickstart-3"]) {
    const { out } = await succeeds(args);
    assert.match(out, new RegExp(`^out +runs/${folder}$`, "m"));
  }
  assert.match((await succeeds(["--resume", "--steps", "2"])).out, /^out +runs\/quickstart-3$/m);
  assert.equal((await metricsOf(`${scratch}/runs/quickstart-3`)).length, 2);
  assert.equal((await metricsOf(`${scratch}/runs/quickstart-2`)).length, 1);
});

Deno.test("every ablation and size trains", async () => {
  await makeReference();
  const trains = async (name: string, fields: string[]) => {
    await runTo(name, ["--steps", "2", ...fields]);
    const losses = await lossesOf(`${scratch}/${name}`);
    assert.equal(losses.length, 2);
    assert.ok(losses.every(Number.isFinite), name);
    assert.ok(await exists(`${scratch}/${name}/reconstruction.png`));
  };
  await Promise.all([
    trains("token", ["model.masking=token"]),
    trains("leaking", ["model.maskedConvolution=false"]),
    trains("single_scale", ["model.multiScaleDecoder=false"]),
    trains("kernel_7", ["model.kernelSize=7"]),
    trains("grey", ["model.channels=1", "data.mean=0.45", "data.std=0.25"]),
    trains("rectangle", ["model.imageSize=32,64", "batch.micro=2"]),
    trains("patches_2", ["model.patchSizes=2,2,2"]),
  ]);
});

Deno.test("mae_base trains, shrunk", async () => {
  const shared = TINY.filter((field) => !/patchSizes|embedDims|depths|mlpRatios/.test(field));
  const own = ["model.patchSize=8", "model.embedDim=16", "model.depth=1", "model.mlpRatio=1"];
  const data = await drawings(COUNT);
  const args = ["mae_base", ...shared, ...own, "--data", data, "--out", "mae"];
  await succeeds([...args, "--steps", "2"]);
  const losses = await lossesOf(`${scratch}/mae`);
  assert.equal(losses.length, 2);
  assert.ok(losses.every(Number.isFinite));
});

Deno.test("data.valShare holds images out, whose loss decides which checkpoint is the best", async () => {
  const { out } = await runTo("validated", [
    ...["--steps", "6", "checkpoint.every=2", "data.valShare=0.4", "batch.micro=2"],
  ]);
  const [, train, val] = out.match(/^images +(\d+) of .*, (\d+) held out$/m)!.map(Number);
  assert.equal(train + val, COUNT);
  assert.ok(val > 0);
  const metrics = await metricsOf(`${scratch}/validated`);
  const validated = metrics.filter(({ val_loss }) => val_loss !== undefined);
  assert.deepEqual(validated.map(({ step }) => step), [2, 4, 6]);
  const best = validated.reduce((a, b) => b.val_loss! < a.val_loss! ? b : a);
  const { metadata } = await loadSafetensors(`${scratch}/validated/best.safetensors`);
  assert.equal(metadata.step, `${best.step}`);
});

Deno.test("--profile prints where the time of a step goes, and run.json keeps it", async () => {
  const { err } = await runTo("profiled", ["--steps", "4", "--profile", "2"]);
  assert.match(err, /^Profile: [\d.]+ ms a step on the device, mean of 2 steps$/m);
  const { profile, dispatches, memory } = JSON.parse(
    await Deno.readTextFile(`${scratch}/profiled/run.json`),
  );
  assert.equal(profile.steps, 2);
  const sum = (list: { milliseconds: number }[]) =>
    list.reduce((total, { milliseconds }) => total + milliseconds, 0);
  near([sum(profile.stages), sum(profile.ops)], [profile.milliseconds, profile.milliseconds], 1e-9);
  const launches = profile.ops.reduce((n: number, { count }: { count: number }) => n + count, 0);
  assert.equal(launches, dispatches);
  const stages = profile.stages.map(({ stage }: { stage: string }) => stage);
  for (const stage of ["encode", "decode", "loss", "encode backward", "optimizer"]) {
    assert.ok(stages.includes(stage), `${stages}`);
    assert.ok(memory.stages.some((part: { stage: string }) => part.stage === stage), stage);
  }
  const parts = memory.parts.reduce((n: number, { bytes }: { bytes: number }) => n + bytes, 0);
  assert.equal(parts, memory.peakBytes);
});

Deno.test("a tiny model learns four drawings by heart", async () => {
  const plain = ["data.crop.scale=1,1", "data.crop.flip=false", "model.normPix=false"];
  const fast = ["optimizer.blr=0.6", "schedule.epochs=60", "schedule.warmupEpochs=2"];
  const data = await drawings(4);
  await succeeds([...TINY, ...plain, ...fast, "--data", data, "--steps", "60", "--out", "learnt"]);
  const losses = await lossesOf(`${scratch}/learnt`);
  const mean = (values: number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;
  const [first, last] = [mean(losses.slice(0, 5)), mean(losses.slice(-5))];
  assert.ok(last < 0.5 * first, `${first} → ${last}`);
});

Deno.test("reconstruction.png shows photos, masks, and visible patches as they are", async () => {
  await makeReference();
  const { data, info } = await sharp(`${reference}/reconstruction.png`).removeAlpha().raw()
    .toBuffer({ resolveWithObject: true });
  const [side, gap, scale, rows] = [32, 2, 7, 6];
  assert.equal(info.width, (3 * side + 4 * gap) * scale);
  assert.equal(info.height, (rows * (side + gap) + gap) * scale);
  const pixel = (row: number, column: number, x: number, y: number) => {
    const left = gap + column * (side + gap) + x;
    const top = gap + row * (side + gap) + y;
    return [...data.subarray(3 * scale * (top * info.width + left)).subarray(0, 3)];
  };
  const folder = await drawings(COUNT);
  for (let row = 0; row < rows; row++) {
    const crop = evaluationCrop(await decodeImage(`${folder}/${row}.jpg`), side, side);
    let masked = 0;
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const [original, hidden, restored] = [0, 1, 2].map((column) => pixel(row, column, x, y));
        const at = 3 * (y * side + x);
        assert.deepEqual(original, [...crop.pixels.subarray(at, at + 3)]);
        if (hidden.every((value) => value === 127)) masked++;
        else assert.deepEqual([hidden, restored], [original, original]);
      }
    }
    assert.equal(masked, 0.75 * side * side);
  }
});
