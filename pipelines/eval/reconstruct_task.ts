import { writeAtomically } from "../../src/atomic_file.ts";
import { openDevice } from "../../src/device.ts";
import type { Params } from "../../src/optim.ts";
import { inspectPretrained } from "../../src/pretrained.ts";
import { makeResident } from "../inference.ts";
import { arrange } from "../picture.ts";
import { columnsOf, reconstruct, type ReconstructionSettings } from "../reconstruction.ts";
import { table } from "../table.ts";
import { UsageError } from "../usage.ts";
import { validateMasking } from "../validate.ts";
import { reconstructClips } from "./reconstruct_clips.ts";
import {
  type EvalRequest,
  openModel,
  parseRequest,
  positiveOption,
  readingFor,
} from "./request.ts";
import { checkOutput, conclude, rounded } from "./result.ts";
import { openShown } from "./splits.ts";

/** Options for models of clips. */
const CLIP_OPTIONS = {
  stride: { type: "string" },
  root: { type: "string" },
  decoder: { type: "string" },
} as const;

/** `deno task eval reconstruct`: what a pretrained model makes of masked images. */
export async function reconstructTask(args: readonly string[]): Promise<number> {
  const request = parseRequest(args, {
    out: { type: "string" },
    images: { type: "string", default: "8" },
    split: { type: "string" },
    ...CLIP_OPTIONS,
  });
  if (await holdsClips(request)) return await reconstructClips(request);
  const { values, data, settings: { maskRatio, seed } } = request;
  for (const name of Object.keys(CLIP_OPTIONS) as (keyof typeof CLIP_OPTIONS)[]) {
    if (values[name] === undefined) continue;
    throw new UsageError(`Option --${name} is for models of clips`);
  }
  const count = positiveOption("images", values.images);
  const out = await checkOutput(values.out, [".png"], data);
  const source = await openShown(data, values.split);
  const model = await openModel(request);
  if (!model.hasDecoder) {
    throw new UsageError(
      `Cannot reconstruct with ${model.path}: it has no decoder; name a checkpoint of pretraining`,
    );
  }
  validateMasking(model.settings, maskRatio);
  const { mean, std, crop: { cropPct } } = readingFor(request, model);
  const settings: ReconstructionSettings = {
    ...{ model: model.settings, maskRatio, seed },
    data: { mean, std, cache: null, cacheSide: 0, ...cropPct !== undefined && { cropPct } },
  };
  const device = await openDevice();
  const skipped = new Map<string, string>();
  const { params } = makeResident(device, model.params as Params);
  const found = await reconstruct(
    ...[device, settings, params, source, count] as const,
    (name, reason) => skipped.set(name, reason),
  );
  const { original, masked, reconstructed } = columnsOf(settings, found);
  const { png, width, height } = await arrange([original, masked, reconstructed], settings);
  await writeAtomically(out, [png]);
  const { loss, count: n } = found;
  return conclude(request, {
    task: "reconstruct",
    lines: [
      ...table([
        ["", ""],
        ["images", String(n)],
        ["masked", `${100 * maskRatio} %`],
        ["mean loss of the masked patches", loss.toFixed(4)],
      ]).slice(1),
      `Wrote ${out}, ${width} × ${height} pixels: original, masked, reconstructed`,
    ],
    values: { loss: rounded(loss), n, maskRatio, out },
    skipped,
  });
}

/** Whether the checkpoint is of clips. What is wrong with it is told where it is loaded. */
async function holdsClips(
  { checkpoint, settings: { model: { heads, decoderHeads, imageSize } }, isGiven }: EvalRequest<
    unknown
  >,
): Promise<boolean> {
  const found = await inspectPretrained(checkpoint, {
    ...isGiven("model.heads") && { heads },
    ...isGiven("model.decoderHeads") && { decoderHeads },
    ...isGiven("model.imageSize") && { imageSize },
  }).catch(() => undefined);
  return found !== undefined && "frames" in found.settings;
}
