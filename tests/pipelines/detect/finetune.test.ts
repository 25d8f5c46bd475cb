import assert from "node:assert/strict";
import sharp from "sharp";
import { main } from "../../../pipelines/main.ts";
import { loadDetector } from "../../../src/pretrained_detector.ts";
import { evaluate } from "../run_eval.ts";
import { exists, metricsOf, runTask, scratch } from "../run_pretrain.ts";
import { TINY_DETECTOR, writeTraining } from "./tiny_detectors.ts";

const DATA = `${scratch}/squares`;
const PRETRAINED = `${scratch}/pretrained.safetensors`;
const OUT = `${scratch}/tuned`;
const BEST = `${OUT}/best.safetensors`;
await writeTraining(DATA, PRETRAINED);

/** A line of metrics of detection. */
interface DetectMetrics {
  readonly step: number;
  readonly loss: number;
  readonly loss_objectness: number;
  readonly loss_proposal: number;
  readonly loss_classification: number;
  readonly loss_box: number;
  readonly loss_mask: number;
  readonly val_box_ap50?: number;
  readonly val_mask_ap50?: number;
  readonly val_box_ap?: number;
}

/** Runs a command within this process. */
async function run(...args: string[]): Promise<{ code: number; out: string[] }> {
  const out: string[] = [];
  const { log, error } = console;
  console.log = (text: string) => void out.push(...text.split("\n"));
  console.error = () => {};
  try {
    return { code: await main(args), out };
  } finally {
    Object.assign(console, { log, error });
  }
}

Deno.test("finetune detect learns to find squares; eval detect and detect find them too", async () => {
  const { code, err, out: text } = await runTask("finetune", [
    ...["detect", "--checkpoint", PRETRAINED, "--data", DATA, "--out", OUT, ...TINY_DETECTOR],
    ...["checkpoint.every=60", "report.every=60"],
  ]);
  assert.equal(code, 0, err);
  assert.match(text, /^classes +2$/m);
  assert.match(text, /^model +0\.\d+ M parameters: 0\.\d+ backbone, 0\.\d+ region proposals, /m);
  assert.match(text, /^Next: deno task eval detect --checkpoint .*best\.safetensors --data /m);
  const metrics = await metricsOf(OUT) as unknown as DetectMetrics[];
  // Better proposals bring harder regions, so the loss tells little: figures do.
  assert.ok(metrics.at(-1)!.loss < metrics[0].loss, `${metrics.at(-1)!.loss}`);
  for (const line of metrics) {
    const { loss_objectness, loss_proposal, loss_classification, loss_box, loss_mask } = line;
    const sum = loss_objectness + loss_proposal + loss_classification + loss_box + loss_mask;
    assert.ok(Math.abs(sum - line.loss) < 1e-5 * line.loss, JSON.stringify(line));
  }
  assert.ok(metrics.at(-1)!.loss_mask < metrics[0].loss_mask, `${metrics.at(-1)!.loss_mask}`);
  const measured = metrics.filter(({ val_box_ap50 }) => val_box_ap50 !== undefined);
  assert.deepEqual(measured.map(({ step }) => step), [60, 120]);
  const { val_box_ap50, val_mask_ap50 } = measured[1];
  assert.ok(val_box_ap50! > 0.3 && val_mask_ap50! > 0.3, JSON.stringify(measured));
  const overlays = await sharp(`${OUT}/overlays.png`).metadata();
  assert.ok(overlays.width! > 512 && overlays.height! > 512, "two images, two columns");
  const report = await Deno.readTextFile(`${OUT}/report.html`);
  assert.match(report, /<h2>Predictions<\/h2>/);
  assert.match(report, /<h3>Loss: masks of things<\/h3>/);
  assert.match(report, /Changed from detect: /);

  const { classNames, facts, settings } = await loadDetector(BEST);
  assert.deepEqual(classNames, ["red", "blue"]);
  assert.deepEqual([settings.backbone.windowSize, settings.norm, settings.rpnConvolutions], [
    2,
    "LN",
    1,
  ]);
  assert.deepEqual(facts.imageSize, [64, 64]);

  const [page, results] = [`${scratch}/things.html`, `${scratch}/results.json`];
  const printed = await evaluate(
    ...["detect", "--checkpoint", BEST, "--data", DATA, "--out", page, "--results", results],
  );
  assert.equal(printed.code, 0, printed.err.join("\n"));
  const figures = JSON.parse(printed.out.at(-1)!);
  const best = measured.reduce((a, b) => b.val_box_ap! > a.val_box_ap! ? b : a);
  assert.ok(Math.abs(figures.bbox.AP50 - best.val_box_ap50!) < 0.05, JSON.stringify(figures));
  assert.equal(figures.n, 4);
  assert.match(await Deno.readTextFile(page), /<h1>.*squares<\/h1>[^]*data:image\/webp;base64,/);

  // The file of results says the same as the model.
  const again = await evaluate("coco", "--gt", `${DATA}/val/instances.json`, "--dt", results);
  const { bbox, segm } = JSON.parse(again.out.at(-1)!);
  assert.ok(Math.abs(bbox.AP - figures.bbox.AP) < 1e-6);
  assert.ok(Math.abs(segm.AP - figures.segm.AP) < 1e-6);

  const image = `${DATA}/val/images/1.png`;
  const drawn = `${scratch}/drawn`;
  const found = await run("detect", "--checkpoint", BEST, image, "--out", drawn, "--score", "0.2");
  assert.equal(found.code, 0);
  const { things } = JSON.parse(found.out.at(-1)!);
  assert.equal(things.length, found.out.length - 1);
  assert.ok(things.length > 0);
  for (const { category, score, box: [x0, y0, x1, y1] } of things) {
    assert.ok(classNames!.includes(category) && score >= 0.2, category);
    assert.ok(x0 >= 0 && y0 >= 0 && x1 <= 64 && y1 <= 64 && x0 < x1 && y0 < y1);
  }
  assert.ok(await exists(`${drawn}/1.detected.png`));
});

Deno.test("finetune detect resumes to the same bits", async () => {
  const fields = ["detect", "--checkpoint", PRETRAINED, "--data", DATA, ...TINY_DETECTOR];
  const more = ["model.norm=BN", "model.dropPath=0.3", "batch.effective=8", "schedule.epochs=9"];
  const [whole, parts] = [`${scratch}/whole`, `${scratch}/parts`];
  const finetune = async (...args: string[]) => {
    const { code, err } = await runTask("finetune", args);
    assert.equal(code, 0, err);
  };
  await Promise.all([
    finetune(...fields, ...more, "--out", whole, "--steps", "3"),
    (async () => {
      await finetune(...fields, ...more, "--out", parts, "--steps", "1");
      await finetune("--resume", "--out", parts, "--steps", "3");
    })(),
  ]);
  const [a, b] = await Promise.all(
    [whole, parts].map((out) => Deno.readFile(`${out}/checkpoint.safetensors`)),
  );
  assert.deepEqual(a, b);
});
