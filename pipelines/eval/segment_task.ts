import { describeMatch } from "../../src/match_weights.ts";
import { strideOf } from "../../src/models/mcmae.ts";
import { loadSegmenter, type PretrainedSegmenter } from "../../src/pretrained_segmenter.ts";
import { startCount } from "../count.ts";
import { openMasks } from "../segment/data.ts";
import { evaluateSegmenter } from "../segment/evaluate.ts";
import type { SegmentationCount } from "../segment/metrics.ts";
import type { Looking } from "../segment/predict.ts";
import { overlapping } from "../segment/slide.ts";
import { writeSegmentationPage } from "../segment/page.ts";
import { table } from "../table.ts";
import { UsageError } from "../usage.ts";
import { within } from "../validate.ts";
import { type EvalRequest, parseRequest, positiveOption } from "./request.ts";
import { checkOutput, conclude, percent, rounded } from "./result.ts";

/** Images of a page unless it is said. */
const SHOWN = "8";

/** `deno task eval segment`: intersections over unions, and pictures of what was found where. */
export async function segmentTask(args: readonly string[]): Promise<number> {
  const request = parseRequest(args, {
    val: { type: "string" },
    slide: { type: "string" },
    whole: { type: "boolean" },
    flip: { type: "boolean" },
    scales: { type: "string", default: "1" },
    out: { type: "string" },
    images: { type: "string", default: SHOWN },
  });
  const { values, checkpoint, data, settings: { data: fields }, isGiven } = request;
  const shown = positiveOption("images", values.images);
  const out = values.out === undefined ? undefined : await checkOutput(values.out, [".html"]);
  const model = await open(request);
  const { classes, encoder } = model.settings;
  const looking: Looking = {
    ...{ windows: windowsFor(values, model), flip: values.flip ?? false },
    ...{
      scales: scalesOf(values.scales),
      batch: isGiven("batch.micro") ? request.settings.batch.micro : 4,
    },
  };
  const found = await openMasks({
    ...{ path: data, valPath: values.val ?? null, valShare: fields.valShare },
    classes: null,
  }, classes);
  if (found.classes !== classes) {
    throw new UsageError(
      `Cannot evaluate on ${data}: it has ${found.classes} classes, the head of ${checkpoint} has ` +
        `${classes}`,
    );
  }
  const names = model.classNames ?? found.classNames;
  const source = found.val ?? found.train;
  const mean = isGiven("data.mean") ? fields.mean : model.mean ?? fields.mean;
  const std = isGiven("data.std") ? fields.std : model.std ?? fields.std;
  for (const [name, list] of Object.entries({ mean, std })) {
    const fits = list.length === encoder.channels;
    within(`data.${name}`, list, fits, `one number for each of the ${encoder.channels} channels`);
  }
  const result = await evaluateSegmenter(model, {
    ...{ source, looking, mean, std, workers: fields.workers, names },
    ...{ pictures: out === undefined ? 0 : shown, onProgress: startCount(source.length) },
  });
  if (out !== undefined) {
    await writeSegmentationPage(out, { checkpoint, data, names, ...result });
    console.error(`Wrote ${out}`);
  }
  const { count, n, skipped } = result;
  const { lines, values: figures } = describe(count, names);
  return conclude(request, {
    task: "segment",
    lines: [
      found.val ? "images to validate on" : "all images: there is no split",
      ...["", ...lines],
    ],
    values: { ...figures, n, classes, split: found.val ? "val" : "all" },
    skipped,
  });
}

async function open(
  { checkpoint, settings: { model: { heads } }, isGiven }: EvalRequest<unknown>,
): Promise<PretrainedSegmenter> {
  const found = await Deno.stat(checkpoint).catch(() => undefined);
  if (!found) throw new UsageError(`Cannot read ${checkpoint}: no such file`);
  if (!found.isFile) {
    throw new UsageError(`Cannot read ${checkpoint}: it is a folder, not a file of weights`);
  }
  const model = await loadSegmenter(checkpoint, isGiven("model.heads") ? { heads } : {});
  console.error(describeMatch(model.match));
  return model;
}

/** Windows as asked for: `crop,stride`, none, or the size that the model was trained on. */
function windowsFor(
  { slide, whole }: { readonly slide?: string; readonly whole?: boolean },
  { settings: { encoder } }: PretrainedSegmenter,
): Looking["windows"] {
  if (whole && slide !== undefined) {
    throw new UsageError("Options --whole and --slide do not go together");
  }
  if (whole) return null;
  if (slide === undefined) return overlapping(encoder.imageSize);
  const stride = strideOf(encoder);
  const [crop, step, ...more] = slide.split(",").map(Number);
  const fits = more.length === 0 && Number.isSafeInteger(crop) && crop >= 3 * stride &&
    crop % stride === 0 && Number.isSafeInteger(step) && step > 0 && step <= crop;
  if (!fits) {
    throw new UsageError(
      `Option --slide expects CROP,STRIDE: a multiple of ${stride} from ${3 * stride} up and a ` +
        `stride of at most that, got ${slide}`,
    );
  }
  return { crop: [crop, crop], stride: [step, step] };
}

function scalesOf(text: string): number[] {
  const scales = text.split(",").map(Number);
  if (scales.every((scale) => scale > 0 && scale <= 8)) return scales;
  throw new UsageError(`Option --scales expects factors such as 0.75,1,1.25, got ${text}`);
}

/** Tables for people, and the numbers for programs. */
function describe(count: SegmentationCount, names?: readonly string[]) {
  const { mIoU, mAcc, aAcc, iou, accuracy } = count.figures();
  const share = (value: number) => Number.isNaN(value) ? "" : percent(value);
  const total = count.labelled.reduce((sum, pixels) => sum + pixels, 0);
  const lines = table([
    ["", "IoU", "accuracy", "of all pixels"],
    ["mean over classes", percent(mIoU), percent(mAcc), ""],
    ["all pixels", "", percent(aAcc), ""],
    ...iou.map((value, k) => [
      names?.[k] ?? String(k),
      ...[share(value), share(accuracy[k]), percent(count.labelled[k] / total)],
    ]),
  ]);
  const known = (values: readonly number[]) =>
    values.map((value) => Number.isNaN(value) ? null : rounded(value));
  return {
    lines,
    values: {
      ...{ mIoU: rounded(mIoU), mAcc: rounded(mAcc), aAcc: rounded(aAcc) },
      ...{ IoU: known(iou), Acc: known(accuracy) },
    },
  };
}
