import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { loadSafetensors } from "../../src/safetensors.ts";
import {
  complaints,
  drawing,
  exists,
  metricsOf,
  type Outcome,
  runTask,
  scratch,
  succeeds,
  TINY,
} from "./run_pretrain.ts";

const DATA = `${scratch}/classes`;
const PRETRAINED = `${scratch}/pretrained/checkpoint.safetensors`;
const never = `${scratch}/never`;
let prepared: Promise<void> | undefined;

/** Class folders of drawings, bright and dark ones, and a model that saw them for two steps. */
function prepare(): Promise<void> {
  return prepared ??= (async () => {
    for (const split of ["train", "val"]) {
      for (const [label, name] of ["bright", "dark"].entries()) {
        await Deno.mkdir(`${DATA}/${split}/${name}`, { recursive: true });
        for (let i = 0; i < 6; i++) {
          const image = drawing(i + (split === "val" ? 6 : 0)).modulate({
            brightness: label === 0 ? 1.4 : 0.3,
          });
          await image.jpeg().toFile(`${DATA}/${split}/${name}/${i}.jpg`);
        }
      }
    }
    await succeeds([...TINY, "--data", DATA, "--steps", "2", "--out", `${scratch}/pretrained`]);
  })();
}

const finetune = (...args: string[]): Promise<Outcome> => runTask("finetune", args);
const BASIC = ["--checkpoint", PRETRAINED, "--data", DATA, "batch.micro=4", "data.workers=1"];

async function refused(args: string[], code: number, sentence: string | RegExp): Promise<void> {
  await prepare();
  const outcome = await finetune(...args);
  const last = complaints(outcome).at(-1)!;
  if (typeof sentence === "string") assert.equal(last, sentence);
  else assert.match(last, sentence);
  assert.equal(outcome.code, code, outcome.err);
}

Deno.test("finetune learns classes from a checkpoint, validates, and keeps the best", async () => {
  await prepare();
  const out = `${scratch}/tuned`;
  const { code, err, out: text } = await finetune(
    ...[...BASIC, "--out", out, "schedule.epochs=10", "schedule.warmupEpochs=1"],
    ...["optimizer.blr=0.3", "optimizer.layerDecay=1", "checkpoint.every=10", "mix.smoothing=0"],
    ...["augment.colorJitter=0", "data.crop.scale=0.8,1"],
  );
  assert.equal(code, 0, err);
  assert.match(err, /55 of 59 parameters are loaded\nNot in the file: fc_norm.\*: 2, head.\*: 2/);
  assert.match(text, /classes +2\n/);
  const metrics = await metricsOf(out) as { loss: number; val_top1?: number; val_loss?: number }[];
  assert.ok(metrics[0].loss > 0.69 && metrics[0].loss < 0.7); // ln 2: no preference
  assert.ok(metrics.at(-1)!.val_top1! >= 11 / 12, JSON.stringify(metrics.at(-1)));
  const { tensors, metadata } = await loadSafetensors(`${out}/best.safetensors`);
  assert.deepEqual(tensors.get("head.weight")!.shape, [2, 16]);
  assert.deepEqual(JSON.parse(metadata.classes), ["bright", "dark"]);
  assert.match(text, /Next: deno task eval classify --checkpoint .*best.safetensors --data /);
  const classified = await runTask("eval", [
    ...["classify", "--checkpoint", `${out}/best.safetensors`, "--data", DATA],
  ]);
  const { split, n, top1 } = JSON.parse(classified.out.trimEnd().split("\n").at(-1)!);
  const best = Math.max(...metrics.map(({ val_top1 }) => val_top1 ?? 0));
  assert.deepEqual([split, n, top1], ["val", 12, Number(best.toFixed(4))]);
  assert.ok(!tensors.has("mask_token") && tensors.has("fc_norm.weight"));
  assert.ok(await exists(`${out}/report.html`));
});

Deno.test("finetune with every augmentation resumes to the same bits", async () => {
  await prepare();
  const fields = [
    ...["augment.randAugment=rand-m9-mstd0.5-inc1", "augment.eraseProbability=0.5"],
    ...["augment.repeats=2", "mix.mode=elem", "mix.mixupAlpha=0.8", "mix.cutmixAlpha=1"],
    ...["model.dropPath=0.3", "optimizer.emaDecay=0.9", "batch.effective=8", "model.pooling=token"],
  ];
  const [whole, parts] = [`${scratch}/whole`, `${scratch}/parts`];
  const run = async (...args: string[]) => {
    const { code, err } = await finetune(...args);
    assert.equal(code, 0, err);
  };
  await Promise.all([
    run(...BASIC, ...fields, "--out", whole, "--steps", "4"),
    (async () => {
      await run(...BASIC, ...fields, "--out", parts, "--steps", "2", "schedule.epochs=20");
      await run("--resume", "--out", parts, "--steps", "4");
    })(),
  ]);
  for (const name of ["checkpoint", "ema"]) {
    const [a, b] = await Promise.all(
      [whole, parts].map((folder) => Deno.readFile(`${folder}/${name}.safetensors`)),
    );
    assert.deepEqual(a.toHex(), b.toHex());
  }
  const { tensors } = await loadSafetensors(`${whole}/checkpoint.safetensors`);
  assert.ok(tensors.has("norm.weight") && !tensors.has("fc_norm.weight"));
});

Deno.test("finetune refuses what it cannot use, in one sentence", async () => {
  await prepare();
  const mixed = `${scratch}/mixed.txt`;
  await Deno.writeTextFile(mixed, `${DATA}/train/dark/0.jpg\t0\n${DATA}/train/dark/1.jpg\n`);
  await Deno.mkdir(`${scratch}/hollow/full`, { recursive: true });
  await Deno.mkdir(`${scratch}/hollow/empty`);
  await drawing(1).jpeg().toFile(`${scratch}/hollow/full/1.jpg`);
  await Deno.writeTextFile(`${scratch}/damaged.safetensors`, "damaged");
  await Promise.all([
    refused(["--data", DATA], 2, "Name the pretrained model: add --checkpoint FILE"),
    refused(
      ["--checkpoint", "nowhere.pth", "--data", DATA],
      2,
      "Cannot read nowhere.pth: no such file",
    ),
    refused(
      ["--checkpoint", `${scratch}/damaged.safetensors`, "--data", DATA, "--out", never],
      1,
      /^Cannot read .*damaged.safetensors: /,
    ),
    refused(
      ["--checkpoint", PRETRAINED, "--data", mixed, "--out", never],
      2,
      `Cannot use ${mixed}: 1 of its 2 images has no label; write a label behind each path`,
    ),
    refused(
      ["--checkpoint", PRETRAINED, "--data", `${scratch}/hollow`, "--out", never],
      2,
      `Cannot use ${scratch}/hollow: the folder ${scratch}/hollow/empty holds no image; fill or remove it`,
    ),
    refused(
      [...BASIC, "--out", never, "model.dropPath=1"],
      2,
      "Recipe field model.dropPath must be in 0–1, without 1, got 1",
    ),
    refused(
      [...BASIC, "--out", never, "augment.randAugment=rand-x9"],
      2,
      /^Recipe field augment.randAugment: /,
    ),
    refused(
      [...BASIC, "--out", never, "mix.mode=pair", "mix.mixupAlpha=1", "batch.micro=3"],
      2,
      "Recipe field batch.micro must be even where mix.mode is pair, got 3",
    ),
    refused(
      [...BASIC, "--out", never, "paper=1"],
      2,
      "Recipe field paper is fixed: choose another recipe instead",
    ),
    refused(
      [...BASIC, "--out", never, "--resume"],
      2,
      "Option --checkpoint does not go with --resume: a run keeps its own",
    ),
  ]);
  assert.ok(!await exists(never));
});

Deno.test("finetune goes on without its pretrained file, keeps what it learnt, and counts bad images", async () => {
  await prepare();
  const data = `${scratch}/spoilt`;
  await cp(DATA, data, { recursive: true });
  await Deno.writeTextFile(`${data}/val/dark/9.jpg`, "no image");
  const file = `${scratch}/moved.safetensors`;
  await Deno.copyFile(PRETRAINED, file);
  const out = `${scratch}/bereft`;
  const args = ["--data", data, "batch.micro=4", "data.workers=1", "checkpoint.every=2"];
  // More bad images than the run bears: it ends, and its two steps are safe.
  const ended = await finetune(
    ...["--checkpoint", file, ...args, "--out", out, "--steps", "2", "data.maxBad=0"],
  );
  assert.equal(ended.code, 1, ended.err);
  assert.match(ended.err, /Cannot load images: 1 of 13 are bad \(maxBad allows 0\)/);
  await Deno.remove(file);
  const { code, err, out: text } = await finetune(
    ...["--resume", "--out", out, "--steps", "4", "data.maxBad=1"],
  );
  assert.equal(code, 0, err);
  assert.match(text, /steps +2 done of 4/);
  assert.match(err, /Skipped 1 bad file:\n/);
  assert.match(await Deno.readTextFile(`${out}/bad_files.txt`), /val\/dark\/9.jpg/);
  await refused(
    ["finetune_imagenet", "--resume", "--out", out],
    2,
    "Cannot resume as finetune_imagenet: the run is one of finetune",
  );
});

Deno.test("eval linprobe finds the classes of frozen features, both ways", async () => {
  await prepare();
  const shared = [
    ...["linprobe", ...BASIC, "schedule.epochs=20", "schedule.warmupEpochs=2"],
    ...["data.crop.scale=0.8,1", "data.cropPct=1"],
  ];
  const out = `${scratch}/probe`;
  const [fast, published] = await Promise.all([
    runTask("eval", [...shared, "--fast"]),
    runTask("eval", [...shared, "--out", out, "checkpoint.every=20"]),
  ]);
  for (const [outcome, mode] of [[fast, "fast"], [published, "published"]] as const) {
    assert.equal(outcome.code, 0, outcome.err);
    const { top1, ...rest } = JSON.parse(outcome.out.trimEnd().split("\n").at(-1)!);
    assert.deepEqual(rest, { task: "linprobe", mode, top5: 1, n: 12, checkpoint: PRETRAINED });
    assert.ok(top1 >= 0.8, `${mode}: ${top1}`);
  }
  // Nothing is left to do, and the figure is there all the same.
  const again = await runTask("eval", ["linprobe", "--resume", "--out", out]);
  assert.deepEqual(
    JSON.parse(again.out.trimEnd().split("\n").at(-1)!),
    JSON.parse(published.out.trimEnd().split("\n").at(-1)!),
  );
  const { tensors } = await loadSafetensors(`${out}/checkpoint.safetensors`);
  const before = await loadSafetensors(PRETRAINED);
  const name = "blocks3.0.attn.qkv.weight"; // frozen
  assert.deepEqual(tensors.get(name)!.data, before.tensors.get(name)!.data);
  assert.ok(tensors.get("head.0.running_var")!.data.every((value) => value !== 1));
});
