/**
 * `deno task scenes`: what a pretrained MCMAE is worth for telling things from what is behind them.
 *
 * @module
 */
import { loadSegmenter } from "../../src/pretrained_segmenter.ts";
import { describeModel, writeModels } from "../checkpoints.ts";
import { percent } from "../eval/result.ts";
import { openExperiment, runOrResume } from "../experiment.ts";
import { finetuneCommand } from "../finetune_command.ts";
import { initialParams } from "../pretrain.ts";
import { pretrainCommand } from "../pretrain_command.ts";
import { quickstart } from "../recipes/quickstart.ts";
import { segmentQuickstart } from "../recipes/segment.ts";
import { FILES } from "../run_folder.ts";
import { table } from "../table.ts";
import { SCENES } from "../recipe.ts";
import { openMasks } from "./data.ts";
import { evaluateSegmenter } from "./evaluate.ts";
import { writeSegmentationPage } from "./page.ts";
import { overlapping } from "./slide.ts";

const HELP =
  `Tell things from what is behind them, in scenes made of photos: what is pretraining worth?

  deno task setup:stamps    (once: fetches the photographs of things)
  deno task scenes [options]

Options:
  --out DIR              Where runs go (default runs/scenes); what is finished is not done again
  --seed N               Another draw of parameters, crops and masks (default 0)
  --pretrain-epochs E    Instead of the recipe's (${quickstart.schedule.epochs})
  --finetune-epochs E    Instead of the recipe's (${segmentQuickstart.schedule.epochs})
  --help

Pretrains with quickstart and fine-tunes with segment_quickstart. Rows: the head on an encoder as drawn,
which is frozen; on the pretrained one, frozen; all of it fine-tuned. Tested on scenes with other things
and other photos. The last line on stdout is one JSON object.`;

const FROZEN = ["optimizer.rates=backbone.*:0"];

/**
 * Runs the command.
 *
 * @returns The exit code.
 */
export async function scenesCommand(args: readonly string[]): Promise<number> {
  const began = performance.now();
  const experiment = await openExperiment("scenes", args, {
    pretrain: quickstart,
    finetune: segmentQuickstart,
  });
  if (!experiment) {
    console.log(HELP);
    return 0;
  }
  const { out, seed, about, pretraining, finetuning } = experiment;
  const pretrained = `${out}/pretrained`;
  const code = await runOrResume(pretrainCommand, "quickstart", pretrained, pretraining);
  if (code !== 0) return code;
  const learnt = `${pretrained}/${FILES.checkpoint}`;
  const drawn = await drawEncoder(`${out}/drawn`, Number(seed));
  const ways = [
    { encoder: "as drawn, frozen", folder: "drawn-frozen", checkpoint: drawn, fields: FROZEN },
    { encoder: "pretrained, frozen", folder: "frozen", checkpoint: learnt, fields: FROZEN },
    { encoder: "pretrained, fine-tuned", folder: "finetuned", checkpoint: learnt, fields: [] },
  ];
  const results = [];
  for (const { encoder, folder, checkpoint, fields } of ways) {
    const run = `${out}/${folder}`;
    const code = await runOrResume(finetuneCommand, "segment_quickstart", run, [
      ...[...finetuning, ...fields],
    ], ["--checkpoint", checkpoint]);
    if (code !== 0) return code;
    results.push({ encoder, run, ...await test(run) });
  }
  const minutes = (performance.now() - began) / 60_000;
  const lines = table([
    ["encoder", "IoU of things", "mIoU", "pixels right"],
    ...results.map(({ encoder, foreground, mIoU, aAcc }) => [
      encoder,
      ...[foreground, mIoU, aAcc].map(percent),
    ]),
  ]);
  for (const line of ["", ...lines]) console.log(line);
  console.log(`${minutes.toFixed(1)} minutes, of this call`);
  console.log(JSON.stringify({ task: "scenes", ...about, minutes, results }));
  return 0;
}

/** Figures of a run on the scenes that are held out; pictures of them go into its folder. */
async function test(run: string) {
  const checkpoint = `${run}/${FILES.checkpoint}`;
  const model = await loadSegmenter(checkpoint);
  const { data: { mean, std, workers } } = segmentQuickstart;
  const { val, classNames: names } = await openMasks(segmentQuickstart.data);
  const windows = overlapping(model.settings.encoder.imageSize);
  const result = await evaluateSegmenter(model, {
    ...{ source: val!, looking: { windows, flip: false, scales: [1], batch: 8 } },
    ...{ mean: model.mean ?? mean, std: model.std ?? std, workers, names, pictures: 12 },
  });
  const page = `${run}/masks.html`;
  await writeSegmentationPage(page, { checkpoint, data: SCENES, names, ...result });
  const { mIoU, aAcc, iou } = result.count.figures();
  return { foreground: iou[1], mIoU, aAcc, n: result.n, page };
}

/** Writes a model as it is before pretraining. */
async function drawEncoder(folder: string, seed: number): Promise<string> {
  await Deno.mkdir(folder, { recursive: true });
  const weights = { params: initialParams({ ...quickstart, seed }), state: {} };
  const about = describeModel(quickstart.model, quickstart.data);
  await writeModels(folder, { step: 0, position: 0, weights }, about);
  return `${folder}/${FILES.checkpoint}`;
}
