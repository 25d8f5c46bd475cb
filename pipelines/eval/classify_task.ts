import { openDevice } from "../../src/device.ts";
import {
  classifierFeatures,
  type ClassifierParams,
  type ClassifierSettings,
  logitsOf,
} from "../../src/models/classifier.ts";
import type { Params } from "../../src/optim.ts";
import type { Pretrained } from "../../src/pretrained.ts";
import { startCount } from "../count.ts";
import { inferInOrder, prepareInference } from "../inference.ts";
import { labelledImages } from "../labelled.ts";
import { table } from "../table.ts";
import { UsageError } from "../usage.ts";
import { ConfusionCount, type Head, outputsOf } from "./classify.ts";
import { fitting } from "./features.ts";
import { openModel, parseRequest, readingFor } from "./request.ts";
import { conclude, percent, type Result, rounded } from "./result.ts";

/** Classes of which each one's accuracy is printed, at most. */
const FEW = 20;

/** `deno task eval classify`: how often a fine-tuned model is right. */
export async function classifyTask(args: readonly string[]): Promise<number> {
  const request = parseRequest(args, { val: { type: "string" } });
  const { values, data, settings: { data: { workers }, batch }, isGiven } = request;
  const { valShare } = request.settings.data;
  const images = await labelledImages({ path: data, valPath: values.val ?? null, valShare });
  const model = await openModel(request);
  const head = headOf(model);
  const outputs = outputsOf(head, images, data);
  const source = images.val ?? images.train;
  const reading = readingFor(request, model);
  const classifier: ClassifierSettings = {
    ...{ encoder: model.settings, classes: head.classes, dropPath: 0 },
    pooling: model.pooling ?? "mean",
  };
  const { imageSize, channels } = model.settings;
  const device = await openDevice();
  const inference = await fitting(
    isGiven("batch.micro") ? batch.micro : undefined,
    source.length,
    (batch) =>
      prepareInference(
        device,
        { batch, imageSize, channels },
        model.params as Params,
        (params, images) => {
          const all = params as ClassifierParams;
          return { scores: logitsOf(all, classifierFeatures(all, classifier, images)) };
        },
      ),
  );
  const count = new ConfusionCount(head.classes);
  const onProgress = startCount(source.length);
  let skipped: ReadonlyMap<string, string> | undefined;
  let n = 0;
  try {
    for await (const found of inferInOrder(inference, { source, workers, ...reading })) {
      count.add(found.values.scores, found.labels!.map((label) => outputs[label]));
      skipped = found.skipped;
      onProgress?.(n += found.indices.length);
    }
  } finally {
    inference.destroy();
  }
  return conclude(request, {
    task: "classify",
    ...withSplit(described(count, head, images.classNames), images.val ? "val" : "all"),
    skipped,
  });
}

/** Says which images were classified: those to validate on, or all, be they trained on or not. */
function withSplit(
  { lines, values }: Pick<Result, "lines" | "values">,
  split: "val" | "all",
): Pick<Result, "lines" | "values"> {
  const images = split === "val" ? "images to validate on" : "all images: there is no split";
  return { lines: [images, "", ...lines], values: { ...values, split } };
}

/** @throws {UsageError} If the file holds no classifier. */
export function headOf(
  { path, classes, classNames, params, match: { loaded } }: Omit<Pretrained, "settings">,
): Head {
  const lacks = ["head.weight", "head.bias"].filter((name) => !loaded.includes(name));
  if (classes === undefined || !("head" in params) || lacks.length > 0) {
    throw new UsageError(
      `Cannot classify with ${path}: it is no classifier, it has no ${lacks[0] ?? "head"}; ` +
        "make one with deno task finetune",
    );
  }
  return { path, classes, ...(classNames && { classNames }) };
}

/** Tables for people, and the numbers for programs. */
export function described(
  count: ConfusionCount,
  { classes, classNames }: Head,
  dataNames: readonly string[] | undefined,
  samples = "images",
): { lines: string[]; values: Record<string, number> } {
  const nameOf = (label: number) => (classNames ?? dataNames)?.[label] ?? String(label);
  const { top1, top5, loss, n } = count.accuracy.result();
  const found = count.byClass();
  const mistakes = count.mistakes(5);
  const lines = table([
    ["", "top-1", "top-5", samples],
    ["all classes", percent(top1), percent(top5), String(n)],
    ...found.length > FEW ? [] : found.map(({ label, n, right }) => [
      ...[nameOf(label), percent(right / n), "", String(n)],
    ]),
  ]);
  if (mistakes.length > 0) {
    lines.push(
      "",
      ...table([
        ["most confused: class", "taken for", samples],
        ...mistakes.map(({ label, predicted, n }) => [nameOf(label), nameOf(predicted), String(n)]),
      ]),
    );
  }
  return {
    lines,
    values: { top1: rounded(top1), top5: rounded(top5), loss: rounded(loss), n, classes },
  };
}
