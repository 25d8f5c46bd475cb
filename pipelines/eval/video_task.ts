import type { ClipSource } from "../../data/clips/find.ts";
import { DECODERS } from "../../data/clips/video.ts";
import { openDevice } from "../../src/device.ts";
import type { ClassifierSettings } from "../../src/models/classifier.ts";
import type { VideoEncoderSettings } from "../../src/models/encoder.ts";
import type { Params } from "../../src/optim.ts";
import { startCount } from "../count.ts";
import { table } from "../table.ts";
import { UsageError } from "../usage.ts";
import {
  classifyVideos,
  logProbabilities,
  prepareVideoClassifier,
  type VideoViewOptions,
} from "../video/accuracy.ts";
import { type ClipFacts, clipFactsOf } from "../video/facts.ts";
import { evaluatedClips } from "../video/labelled.ts";
import { ConfusionCount, type Head, outputsOf } from "./classify.ts";
import { described, headOf } from "./classify_task.ts";
import { fitting } from "./features.ts";
import { openVideoModel, parseRequest, positiveOption } from "./request.ts";
import { conclude, percent } from "./result.ts";

const OPTIONS = {
  clips: { type: "string" },
  crops: { type: "string" },
  stride: { type: "string" },
  sampling: { type: "string" },
  "short-side": { type: "string" },
  "frame-control": { type: "boolean" },
  root: { type: "string" },
  decoder: { type: "string", default: "node-av" },
} as const;

/** `deno task eval video`: how often a fine-tuned model of clips is right, over views of each video. */
export async function videoTask(args: readonly string[]): Promise<number> {
  const request = parseRequest(args, OPTIONS);
  const { values, data, settings, isGiven } = request;
  const number = (name: "clips" | "crops" | "stride" | "short-side") =>
    values[name] === undefined ? undefined : positiveOption(name, values[name]);
  const asked = {
    ...{ clips: number("clips"), crops: number("crops"), stride: number("stride") },
    ...{ shortSide: number("short-side"), still: values["frame-control"] },
    sampling: choice("sampling", values.sampling, ["dense", "segments"] as const),
    decoder: choice("decoder", values.decoder, DECODERS)!,
  };
  const { workers, valShare } = settings.data;
  const { source, isHeldOut } = await evaluatedClips(data, { root: values.root ?? null, valShare });
  const model = await openVideoModel(request);
  const head = headOf(model);
  const outputs = outputsFor(head, source, data);
  const facts = clipFactsOf(model.metadata);
  const views = viewsFor(model.settings, facts, asked);
  const given = (name: "mean" | "std") =>
    isGiven(`data.${name}`) ? settings.data[name] : model.settings[name];
  const options: VideoViewOptions = {
    ...{ source, workers, decoder: asked.decoder, mean: given("mean"), std: given("std") },
    ...views,
  };
  const classifier: ClassifierSettings<VideoEncoderSettings> = {
    ...{ encoder: model.settings, classes: head.classes, dropPath: 0 },
    pooling: model.pooling ?? "mean",
  };
  const ofVideo = views.clips * views.crops.crops;
  const device = await openDevice();
  const inference = await fitting(
    isGiven("batch.micro") ? settings.batch.micro : undefined,
    source.length * ofVideo,
    (batch) => prepareVideoClassifier(device, classifier, model.params as Params, batch),
  );
  const count = new ConfusionCount(head.classes);
  const onProgress = startCount(source.length);
  const bad = new Map<string, string>();
  const warnings = new Set<string>();
  let [n, padded, distinct] = [0, 0, 0];
  try {
    const onBatch: VideoViewOptions["onBatch"] = (batch) => {
      for (const [file, reason] of batch.skipped) bad.set(file, reason);
      for (const warning of batch.warnings) warnings.add(warning);
    };
    for await (const video of classifyVideos(inference, { ...options, onBatch })) {
      count.add(logProbabilities(video), [outputs[video.label]]);
      padded += Number(video.padded > 0);
      distinct += video.views;
      n++;
      onProgress?.(n);
    }
  } finally {
    inference.destroy();
  }
  for (const warning of warnings) console.error(warning);
  const { lines, values: { top1, top5 } } = described(count, head, source.classes, "videos");
  const { paper } = facts;
  return conclude(request, {
    task: "video",
    lines: [
      ...table([
        [`${views.clips} clips × ${views.crops.crops} crops of each video`, ""],
        ["videos classified", String(n)],
        ["views that differ", String(distinct)],
        ["videos too short for a clip: frames repeated", String(padded)],
        ["corrupt videos left out", String(bad.size)],
        ["which videos", isHeldOut ? "those held out" : "all that are given: there is no split"],
        ...views.still ? [["frames shown of each clip", "the middle one alone"]] : [],
        ...paper ? [["top-1 in the paper", `${percent(paper.top1)} (${paper.where})`]] : [],
      ]),
      "",
      ...lines,
    ],
    values: {
      ...{ top1, top5, n, views: ofVideo, skipped: bad.size, padded },
      split: isHeldOut ? "val" : "all",
      ...views.still && { frameControl: true },
      ...paper && { paper: paper.top1 },
    },
    skipped: bad,
  });
}

interface Asked extends Partial<Pick<ClipFacts, "sampling" | "stride" | "shortSide" | "still">> {
  readonly clips?: number;
  readonly crops?: number;
}

/**
 * The views of each video: as asked for, else as the file says, else as VideoMAE tests on Kinetics; 5
 * clips where frames are dense and 2 of segments, 3 crops each.
 *
 * @throws {UsageError} If a crop is larger than the frames.
 */
function viewsFor(
  { imageSize: [height, width], frames }: VideoEncoderSettings,
  facts: Partial<ClipFacts>,
  asked: Asked,
): Pick<VideoViewOptions, "sampling" | "clips" | "crops" | "shortSide" | "still"> {
  const kind = asked.sampling ?? facts.sampling ?? "dense";
  const { stride = facts.stride ?? 4, clips = kind === "dense" ? 5 : 2, crops = 3 } = asked;
  const least = Math.max(height, width); // fits into frames of any shape
  const { shortSide = least } = asked;
  if (shortSide < least) {
    throw new UsageError(
      `Option --short-side expects ${least} or more, the side of the model's clips, got ${shortSide}`,
    );
  }
  return {
    ...{ sampling: { kind, frames, stride }, clips, crops: { height, width, crops, shortSide } },
    // Read at the size of training, so that a larger one is not made of it.
    ...facts.shortSide !== undefined && { shortSide: Math.max(facts.shortSide, shortSide) },
    still: asked.still ?? facts.still ?? false,
  };
}

/**
 * The outputs of a head for the labels of videos: by name where there are names, else by number.
 *
 * @returns `[label]`.
 * @throws {UsageError} If the head has no such class, or another number of them.
 */
function outputsFor(
  head: Head,
  { classes: classNames, labels }: ClipSource,
  data: string,
): number[] {
  if (classNames) return outputsOf(head, { classes: classNames.length, classNames }, data);
  const { path, classes } = head;
  const beyond = labels!.find((label) => label >= classes);
  if (beyond === undefined) return Array.from({ length: classes }, (_, label) => label);
  throw new UsageError(
    `Cannot classify ${data}: it has the label ${beyond}, but the ${classes} classes of ${path} ` +
      `end at ${classes - 1}`,
  );
}

/** @throws {UsageError} If an option is none of its choices. */
function choice<Name extends string>(
  option: string,
  given: string | undefined,
  choices: readonly Name[],
): Name | undefined {
  const found = choices.find((name) => name === given);
  if (found !== undefined || given === undefined) return found;
  throw new UsageError(
    `Option --${option} expects one of ${choices.join(", ")}, got ${given || "nothing"}`,
  );
}
