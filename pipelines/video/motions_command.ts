/**
 * `deno task motions`: what a VideoMCMAE learns of eight motions of a camera.
 *
 * @module
 */
import { type Device, openDevice } from "../../src/device.ts";
import type { ClassifierSettings } from "../../src/models/classifier.ts";
import type { VideoEncoderSettings } from "../../src/models/encoder.ts";
import { loadPretrainedVideo } from "../../src/pretrained.ts";
import { writeModels } from "../checkpoints.ts";
import { percent } from "../eval/result.ts";
import { openExperiment, runOrResume } from "../experiment.ts";
import { finetuneCommand } from "../finetune_command.ts";
import { initialOf } from "../pretrain.ts";
import { pretrainCommand } from "../pretrain_command.ts";
import { MOTIONS } from "../recipe.ts";
import { FILES } from "../run_folder.ts";
import { table } from "../table.ts";
import { videoQuickstart } from "../recipes/video.ts";
import { videoFinetuneMotions } from "../recipes/video_finetune.ts";
import { prepareVideoAccuracy } from "./accuracy.ts";
import { heldOutClips } from "./clips.ts";
import { clipFactsOf } from "./facts.ts";
import { describeVideo } from "./pretrain_command.ts";
import { videoAutoencoder } from "./pretrain.ts";

const HELP =
  `Learn eight motions from clips of the bundled photos: what is pretraining worth, what motion?

  deno task motions [options]

Options:
  --out DIR              Where runs go (default runs/motions); what is finished is not done again
  --seed N               Another draw of parameters, crops and masks (default 0)
  --pretrain-epochs E    Instead of the recipe's (${videoQuickstart.schedule.epochs})
  --finetune-epochs E    Instead of the recipe's (${videoFinetuneMotions.schedule.epochs})
  --help

Pretrains with video_quickstart, fine-tunes with video_finetune_motions, and tests on 2 × 3 views of
clips of other photos. Rows: an encoder as drawn; the pretrained one where every clip, also of the test,
shows its middle frame alone; the pretrained one. The last line on stdout is one JSON object.`;

/** A row: an encoder, fine-tuned. */
interface Way {
  readonly name: string;
  /** Folder of the fine-tuning run. */
  readonly folder: string;
  readonly checkpoint: string;
  readonly fields: readonly string[];
}

/**
 * Runs the command.
 *
 * @returns The exit code.
 */
export async function motionsCommand(args: readonly string[]): Promise<number> {
  const began = performance.now();
  const experiment = await openExperiment("motions", args, {
    pretrain: videoQuickstart,
    finetune: videoFinetuneMotions,
  });
  if (!experiment) {
    console.log(HELP);
    return 0;
  }
  const { out, seed, about, pretraining, finetuning } = experiment;
  const pretrained = `${out}/pretrained`;
  const code = await runOrResume(pretrainCommand, "video_quickstart", pretrained, pretraining);
  if (code !== 0) return code;
  const drawn = await drawEncoder(`${out}/drawn`, Number(seed));
  const ways: Way[] = [
    { name: "as drawn", folder: "from-drawn", checkpoint: drawn, fields: [] },
    {
      name: "pretrained, one frame alone",
      folder: "from-pretrained-still",
      checkpoint: `${pretrained}/${FILES.checkpoint}`,
      fields: ["data.still=true"],
    },
    {
      name: "pretrained",
      folder: "from-pretrained",
      checkpoint: `${pretrained}/${FILES.checkpoint}`,
      fields: [],
    },
  ];
  const rows = [];
  for (const { name, folder, checkpoint, fields } of ways) {
    const run = `${out}/${folder}`;
    const code = await runOrResume(finetuneCommand, "video_finetune_motions", run, [
      ...[...finetuning, ...fields],
    ], ["--checkpoint", checkpoint]);
    if (code !== 0) return code;
    rows.push({ encoder: name, run });
  }
  const device = await openDevice();
  const results = [];
  for (const row of rows) {
    results.push({ ...row, ...await test(device, `${row.run}/${FILES.checkpoint}`) });
  }
  const minutes = (performance.now() - began) / 60_000;
  const lines = table([
    ["encoder", "top-1 of 2 × 3 views"],
    ...results.map(({ encoder, top1 }) => [encoder, percent(top1)]),
    ["chance", percent(1 / 8)],
  ]);
  for (const line of ["", ...lines]) console.log(line);
  console.log(`${minutes.toFixed(1)} minutes, of this call`);
  const { n } = results[0];
  console.log(JSON.stringify({ task: "motions", ...about, n, minutes, results }));
  return 0;
}

/** Writes a model as it is before pretraining. */
async function drawEncoder(folder: string, seed: number): Promise<string> {
  await Deno.mkdir(folder, { recursive: true });
  const params = initialOf(videoAutoencoder(videoQuickstart), seed);
  const weights = { params, state: {} };
  const about = describeVideo({ ...videoQuickstart, seed });
  await writeModels(folder, { step: 0, position: 0, weights }, about);
  return `${folder}/${FILES.checkpoint}`;
}

/** Share of the test videos that a fine-tuned model tells right, of 2 × 3 views each. */
async function test(device: Device, checkpoint: string): Promise<{ top1: number; n: number }> {
  const { settings, params, metadata, classes } = await loadPretrainedVideo(checkpoint);
  const classifier: ClassifierSettings<VideoEncoderSettings> = {
    ...{ encoder: settings, classes: classes!, pooling: "mean", dropPath: 0 },
  };
  const { sampling = "dense", stride, shortSide, still } = clipFactsOf(metadata);
  const { imageSize: [height, width], frames, mean, std } = settings;
  const { source } = await heldOutClips(MOTIONS, { root: null, valShare: 0 });
  const accuracy = await prepareVideoAccuracy(device, classifier, params, {
    ...{ source, batch: 64, workers: 1, mean, std },
    ...{ sampling: { kind: sampling, frames, stride }, clips: 2, shortSide, still },
    crops: { height, width, crops: 3, shortSide: Math.max(height, width) },
  });
  const { top1, n } = await accuracy.measure();
  accuracy.destroy();
  return { top1, n };
}
