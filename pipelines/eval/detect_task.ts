import { describeMatch } from "../../src/match_weights.ts";
import { openDevice } from "../../src/device.ts";
import { loadDetector, type PretrainedDetector } from "../../src/pretrained_detector.ts";
import { startCount } from "../count.ts";
import { measureDetection } from "../detect/accuracy.ts";
import { type DetectionPage, writeDetectionPage } from "../detect/page.ts";
import { openThings } from "../detect/data.ts";
import { drawThings } from "../detect/drawing.ts";
import { annotatedThings, coloursIn, SHOWN_SCORE } from "../detect/panels.ts";
import { prepareDetector } from "../detect/predict.ts";
import { evaluationRuleOf } from "../detect/recipe.ts";
import { maskRcnnCoco } from "../recipes/detect.ts";
import { writeWhole } from "../run_folder.ts";
import { UsageError } from "../usage.ts";
import { within } from "../validate.ts";
import { cocoValues, describeCoco } from "./coco_task.ts";
import { type EvalRequest, parseRequest, positiveOption } from "./request.ts";
import { checkOutput, conclude } from "./result.ts";

/** Images of a page unless it is said. */
const SHOWN = "8";

/** `deno task eval detect`: COCO's figures of boxes and masks, and pictures of what was found. */
export async function detectTask(args: readonly string[]): Promise<number> {
  const request = parseRequest(args, {
    val: { type: "string" },
    out: { type: "string" },
    results: { type: "string" },
    images: { type: "string", default: SHOWN },
  });
  const { values, checkpoint, data, settings: { data: fields }, isGiven } = request;
  const most = positiveOption("images", values.images);
  const out = values.out === undefined ? undefined : await checkOutput(values.out, [".html"]);
  const results = values.results === undefined
    ? undefined
    : await checkOutput(values.results, [".json"]);
  const model = await openDetector(request);
  const { settings, params, facts } = model;
  const { train, val, classNames } = await openThings({
    ...{ path: data, valPath: values.val ?? null, valShare: fields.valShare },
  });
  if (classNames.length !== settings.classes) {
    throw new UsageError(
      `Cannot evaluate on ${data}: it has ${classNames.length} categories, the heads of ` +
        `${checkpoint} have ${settings.classes}`,
    );
  }
  const source = val ?? train;
  const mean = isGiven("data.mean") ? fields.mean : model.mean ?? fields.mean;
  const std = isGiven("data.std") ? fields.std : model.std ?? fields.std;
  const { channels } = settings.backbone.encoder;
  for (const [name, list] of Object.entries({ mean, std })) {
    const fits = list.length === channels;
    within(`data.${name}`, list, fits, `one number for each of the ${channels} channels`);
  }
  const scale = scaleOfFacts(facts);
  const detector = await prepareDetector(
    await openDevice(),
    settings,
    params,
    facts.imageSize,
    evaluationRuleOf(facts),
  );
  const tell = startCount(source.length);
  const pictures: DetectionPage["pictures"][number][] = [];
  const every = source.length / Math.min(most, source.length);
  let [n, skipped] = [0, new Map() as ReadonlyMap<string, string>];
  try {
    const measured = await measureDetection(
      detector,
      source,
      { channels, mean, std, workers: fields.workers, scale },
      undefined,
      async (picture, found) => {
        skipped = picture.skipped;
        n++;
        tell?.(n);
        const isShown = out !== undefined && pictures.length < most &&
          n - 1 >= pictures.length * every;
        if (!isShown) return;
        const colours = coloursIn(picture, { mean, std, canvas: scale.canvas });
        const drawn = [
          annotatedThings(source, picture.index),
          found.filter(({ score }) => score >= SHOWN_SCORE),
        ];
        pictures.push({
          name: source.images[picture.index],
          columns: await Promise.all(
            drawn.map((things) => drawThings(colours, picture.original, things, classNames)),
          ),
        });
      },
    );
    const { bbox, segm } = measured;
    const counts = countOf(source.things.flat().map(({ category }) => category), settings.classes);
    const lines = describeCoco({ bbox, segm }, classNames, counts);
    if (results !== undefined) {
      await writeWhole(results, `${JSON.stringify(measured.results)}\n`);
      console.error(`Wrote ${results}`);
    }
    if (out !== undefined) {
      await writeDetectionPage(out, {
        ...{ checkpoint, data, n: measured.n, evaluations: { bbox, segm }, names: classNames },
        ...{ counts, pictures, published: publishedOf(model) },
      });
      console.error(`Wrote ${out}`);
    }
    const paper = publishedOf(model);
    return conclude(request, {
      task: "detect",
      lines: [
        val ? "images to validate on" : "all images: there is no split",
        ...["", ...lines],
        ...paper ? ["", `paper: ${paper}`] : [],
      ],
      values: {
        ...cocoValues({ bbox, segm }),
        ...{ n: measured.n, detections: measured.results.length, split: val ? "val" : "all" },
      },
      skipped,
    });
  } finally {
    detector.destroy();
  }
}

/** How images are made to fit a detector. */
export function scaleOfFacts({ imageSize: [height, width], shorter, longer }: {
  readonly imageSize: readonly [number, number];
  readonly shorter: number | null;
  readonly longer: number;
}) {
  const fits = shorter === null;
  return {
    canvas: { height, width },
    jitter: fits ? [1, 1] as const : null,
    ...{ shorter: [shorter ?? Math.min(height, width)], longer },
  };
}

/** Loads the detector that a command names. */
export async function openDetector(
  { checkpoint, settings: { model: { heads } }, isGiven }: EvalRequest<unknown>,
): Promise<PretrainedDetector> {
  const found = await Deno.stat(checkpoint).catch(() => undefined);
  if (!found) throw new UsageError(`Cannot read ${checkpoint}: no such file`);
  if (!found.isFile) {
    throw new UsageError(`Cannot read ${checkpoint}: it is a folder, not a file of weights`);
  }
  const model = await loadDetector(checkpoint, isGiven("model.heads") ? { heads } : {});
  console.error(describeMatch(model.match));
  return model;
}

function countOf(categories: readonly number[], length: number): Int32Array {
  const counts = new Int32Array(length);
  for (const category of categories) counts[category]++;
  return counts;
}

/** What the paper reports of a model of these sizes on COCO. */
function publishedOf({ settings: { backbone: { encoder }, classes } }: PretrainedDetector) {
  const { published } = maskRcnnCoco;
  const isBase = encoder.embedDims[2] === 768 && encoder.depths[2] === 11 && classes === 80;
  if (!isBase || !published) return undefined;
  const { boxAP, maskAP, where } = published;
  return `${(100 * boxAP).toFixed(1)} % AP of boxes, ${
    (100 * maskAP).toFixed(1)
  } % of masks (${where})`;
}
