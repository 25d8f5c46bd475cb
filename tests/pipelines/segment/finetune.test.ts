import assert from "node:assert/strict";
import sharp from "sharp";
import { initialSegmenter } from "../../../pipelines/segment/finetune.ts";
import { segmenterOf, type SegmentRecipe } from "../../../pipelines/segment/recipe.ts";
import { isRunning } from "../../../src/models/batch_norm.ts";
import type { SegmenterParams } from "../../../src/models/segmenter.ts";
import { loadBackbone } from "../../../src/pretrained.ts";
import { loadSegmenter } from "../../../src/pretrained_segmenter.ts";
import { loadSafetensors } from "../../../src/safetensors.ts";
import type { Tensor } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";
import { exists, metricsOf, type Outcome, runTask, scratch } from "../run_pretrain.ts";
import { writeAutoencoder } from "../tiny_models.ts";
import { namesOf, TINY_SEGMENTER, writeColours } from "./tiny_segmenters.ts";

const DATA = `${scratch}/colours`;
const PRETRAINED = `${scratch}/pretrained.safetensors`;
const BASIC = ["segment", "--checkpoint", PRETRAINED, "--data", DATA, ...TINY_SEGMENTER];
let prepared: Promise<void> | undefined;

/** Images of three colours, each a class, and a pretrained model. */
function prepare(): Promise<void> {
  return prepared ??= (async () => {
    await writeColours(DATA, [...namesOf("train", 8), ...namesOf("val", 4)]);
    await writeAutoencoder(PRETRAINED);
  })();
}

async function finetune(...args: string[]): Promise<Outcome> {
  await prepare();
  const outcome = await runTask("finetune", args);
  assert.equal(outcome.code, 0, outcome.err);
  return outcome;
}

/** A line of metrics of segmentation. */
interface SegmentMetrics {
  readonly step: number;
  readonly loss: number;
  readonly loss_main: number;
  readonly loss_auxiliary: number;
  readonly lr: number;
  readonly val_miou?: number;
  readonly val_macc?: number;
  readonly val_aacc?: number;
}

const valuesOf = ({ source }: Tensor) => (source as { data: Float32Array }).data;

/** Parameters that a run begins with, by path. */
async function initialOf(out: string): Promise<Map<string, Float32Array>> {
  const recipe: SegmentRecipe = JSON.parse(await Deno.readTextFile(`${out}/recipe.json`));
  const settings = segmenterOf(recipe, 3);
  const drawn = initialSegmenter(recipe, settings);
  const { params: backbone } = await loadBackbone(PRETRAINED, settings, drawn.backbone);
  const params: SegmenterParams = { ...drawn, backbone };
  return new Map(entries<Tensor>(params).map(([path, value]) => [path, valuesOf(value)]));
}

Deno.test("finetune segment learns masks, validates, keeps the best, and shows what it predicts", async () => {
  const out = `${scratch}/tuned`;
  const { err, out: text } = await finetune(
    ...[...BASIC, "--out", out, "--steps", "24", "checkpoint.every=12", "report.every=12"],
  );
  assert.match(err, /55 of 61 parameters are loaded\n/);
  assert.match(err, /Interpolated: pos_embed \[1,16,16\] → \[1,36,16\]\nNot in the file: fpn/);
  assert.match(text, /^images +8 of .* at 48 × 48, 4 held out$/m);
  assert.match(text, /^classes +3$/m);
  assert.match(text, /^model +0\.02 M parameters: 0\.01 encoder, 0\.01 UPerNet, /m);
  assert.match(text, /^ {2}overlays\.png /m);
  assert.match(text, /^Next: deno task eval segment --checkpoint .*best\.safetensors --data /m);
  assert.match(text, /^Validation mIoU: 0\.\d+, at its best 0\.\d+ after step \d+\.$/m);

  const metrics = await metricsOf(out) as unknown as SegmentMetrics[];
  // No preference at first: ln 3, and 0.4 of it for the auxiliary head.
  assert.ok(Math.abs(metrics[0].loss - 1.4 * Math.log(3)) < 0.05, `${metrics[0].loss}`);
  for (const { step, loss, loss_main, loss_auxiliary } of metrics) {
    assert.ok(Math.abs(loss_main + loss_auxiliary - loss) < 1e-5 * loss, `step ${step}`);
  }
  assert.ok(Math.abs(metrics[0].loss_auxiliary - 0.4 * Math.log(3)) < 0.02, "its weight is in it");
  assert.ok(metrics.at(-1)!.loss < 0.6 * metrics[0].loss, `${metrics.at(-1)!.loss}`);
  const measured = metrics.filter(({ val_miou }) => val_miou !== undefined);
  assert.deepEqual(measured.map(({ step }) => step), [12, 24]);
  const { val_miou, val_macc, val_aacc } = measured[1];
  assert.ok(val_miou! > 0.5 && val_macc! > 0.6 && val_aacc! > 0.6, JSON.stringify(measured));

  const { classNames, masks, settings } = await loadSegmenter(`${out}/best.safetensors`);
  assert.deepEqual(classNames, ["red", "green", "blue"]);
  assert.deepEqual(masks, { ignoreIndex: 255, reduceZeroLabel: false, long: null, short: null });
  assert.deepEqual([settings.encoder.imageSize, settings.headChannels], [[48, 48], 8]);

  const picture = await sharp(`${out}/overlays.png`).metadata();
  assert.ok(picture.width! >= 3 * 48 && picture.height! >= 2 * 48, "two images, three columns");
  for (const name of ["original", "truth", "step-000012", "step-000024"]) {
    assert.ok(await exists(`${out}/panels/${name}.png`), name);
  }
  const pixels = (name: string) => sharp(`${out}/panels/${name}.png`).raw().toBuffer();
  const [original, truth, early, late] = await Promise.all(
    ["original", "truth", "step-000012", "step-000024"].map(pixels),
  );
  const distance = (a: Uint8Array, b: Uint8Array) =>
    a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0);
  assert.ok(distance(truth, original) > 0 && distance(late, early) > 0);
  assert.ok(distance(late, truth) < distance(original, truth));
  const report = await Deno.readTextFile(`${out}/report.html`);
  assert.match(report, /<h2>Predictions<\/h2>/);
  assert.match(report, /Changed from segment: /);
  assert.match(report, /<dt>Validation mIoU<\/dt>\s*<dd>\d+\.\d+ ?%/);
  assert.match(report, /alt="Images, truth"/);
  assert.match(report, /alt="Predictions, step 24"/);
  assert.doesNotMatch(report, /Reconstruction/);

  // The figure of the run is that of an evaluation of its best model.
  const evaluated = await runTask("eval", [
    ...["segment", "--checkpoint", `${out}/best.safetensors`, "--data", DATA],
  ]);
  const { mIoU, mAcc, aAcc } = JSON.parse(evaluated.out.trimEnd().split("\n").at(-1)!);
  const best = measured.reduce((a, b) => b.val_miou! > a.val_miou! ? b : a);
  assert.deepEqual(
    [mIoU, mAcc, aAcc],
    [best.val_miou, best.val_macc, best.val_aacc].map((value) => Number(value!.toFixed(4))),
  );
});

Deno.test("finetune segment resumes to the same bits, with all that is drawn and accumulated", async () => {
  const fields = [
    ...["model.dropout=0.3", "model.dropPath=0.3", "model.relativePositions=blocks"],
    ...["model.layerScale=1", "data.photometric=true", "data.resize.ratio=0.5,2"],
    ...["data.categoryShare=0.75", "optimizer.emaDecay=0.9", "optimizer.layerDecay=0.75"],
    ...["batch.effective=8", "schedule.epochs=20"],
  ];
  const [whole, parts] = [`${scratch}/whole`, `${scratch}/parts`];
  await Promise.all([
    finetune(...BASIC, ...fields, "--out", whole, "--steps", "4"),
    (async () => {
      await finetune(...BASIC, ...fields, "--out", parts, "--steps", "2");
      await finetune("--resume", "--out", parts, "--steps", "4");
    })(),
  ]);
  for (const name of ["checkpoint", "ema"]) {
    const [a, b] = await Promise.all(
      [whole, parts].map((folder) => Deno.readFile(`${folder}/${name}.safetensors`)),
    );
    assert.ok(a.toHex() === b.toHex(), `${name} differs`);
  }
  const initial = await initialOf(whole);
  const { tensors } = await loadSafetensors(`${whole}/checkpoint.safetensors`);
  const moments = [...initial.keys()].filter(isRunning);
  assert.equal(moments.length, 28);
  for (const path of moments) {
    assert.notDeepEqual(tensors.get(path)!.data, initial.get(path), `${path} stays`);
  }
  // Polynomial decay over 20 epochs of 8 images, all of which are a batch.
  const metrics = await metricsOf(whole);
  const lr = 1.28 * 8 / 256;
  for (const [i, metric] of metrics.entries()) {
    assert.ok(Math.abs(metric.lr - lr * (1 - i / 20)) < 1e-15, `${metric.lr}`);
  }
  assert.equal(metrics.length, 4);
});

Deno.test("finetune segment with optimizer.rates=backbone.*:0 changes the heads and moments alone", async () => {
  const out = `${scratch}/frozen`;
  const { out: text } = await finetune(
    ...[...BASIC, "--out", out, "--steps", "2", "optimizer.rates=backbone.*:0"],
  );
  const initial = await initialOf(out);
  const { tensors } = await loadSafetensors(`${out}/checkpoint.safetensors`);
  assert.deepEqual([...tensors.keys()].sort(), [...initial.keys()].sort());
  let frozen = 0;
  for (const [path, { data }] of tensors) {
    if (path.startsWith("backbone.") && !isRunning(path)) {
      assert.deepEqual(data, initial.get(path), path);
      frozen += data.length;
    } else {
      assert.notDeepEqual(data, initial.get(path), path);
    }
  }
  const count = new Intl.NumberFormat("en").format(frozen);
  assert.ok(text.includes(` trained, ${count} frozen\n`), text);
});
