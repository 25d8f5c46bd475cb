import { type DecoderName, DECODERS } from "../../data/clips/video.ts";
import { writeAtomically } from "../../src/atomic_file.ts";
import { openDevice } from "../../src/device.ts";
import type { Params } from "../../src/optim.ts";
import { makeResident } from "../inference.ts";
import { table } from "../table.ts";
import { UsageError } from "../usage.ts";
import { arrangeStills, writeAnimation } from "../video/animation.ts";
import { heldOutClips } from "../video/clips.ts";
import { clipFactsOf } from "../video/facts.ts";
import { validateClipMasking } from "../video/recipe.ts";
import {
  clipColumns,
  type ClipReconstructionSettings,
  prepareClipReconstruction,
} from "../video/reconstruction.ts";
import { type EvalRequest, openVideoModel, positiveOption } from "./request.ts";
import { checkOutput, conclude, rounded } from "./result.ts";

/** Options of {@linkcode reconstructClips}. */
export interface ClipValues {
  readonly out?: string;
  readonly images: string;
  readonly split?: string;
  readonly stride?: string;
  readonly root?: string;
  readonly decoder?: string;
}

/** `deno task eval reconstruct`, of a model of clips: what it makes of them, in motion and still. */
export async function reconstructClips(request: EvalRequest<ClipValues>): Promise<number> {
  const { values, data, settings: given, isGiven } = request;
  const count = positiveOption("images", values.images);
  const asked = await checkOutput(values.out, [".png", ".webp", ".gif"], data);
  const fileOf = (extension: string) => asked.replace(/\.\w+$/, extension);
  if (values.split !== undefined) throw new UsageError("Option --split is for models of images");
  const { root = null } = values;
  const decoder = decoderOf(values.decoder);
  const { workers, valShare } = given.data;
  const { source } = await heldOutClips(data, { root, valShare });
  const model = await openVideoModel(request);
  if (!model.hasDecoder) {
    throw new UsageError(
      `Cannot reconstruct with ${model.path}: it has no decoder; name a checkpoint of pretraining`,
    );
  }
  const { metadata, settings: { mean, std, ...encoder } } = model;
  const facts = clipFactsOf(metadata);
  const told = Number(metadata.maskRatio); // 0.9 is VideoMAE's (arXiv:2203.12602)
  const maskRatio = isGiven("maskRatio") ? given.maskRatio : told > 0 ? told : 0.9;
  validateClipMasking(encoder, maskRatio);
  const settings: ClipReconstructionSettings = {
    ...{ model: encoder, maskRatio, seed: given.seed },
    data: {
      mean: isGiven("data.mean") ? given.data.mean : mean,
      std: isGiven("data.std") ? given.data.std : std,
      sampling: facts.sampling ?? "dense",
      stride: values.stride === undefined
        ? facts.stride ?? 4
        : positiveOption("stride", values.stride),
      shortSide: Math.max(facts.shortSide ?? 0, ...encoder.imageSize),
      ...{ decoder, cache: null, workers },
    },
  };
  const device = await openDevice();
  const skipped = new Map<string, string>();
  const { params } = makeResident(device, model.params as Params);
  const reconstructor = await prepareClipReconstruction(
    ...[device, settings, params, source, count] as const,
    (name, reason) => skipped.set(name, reason),
  );
  const found = await reconstructor.run();
  reconstructor.destroy();
  const { original, masked, reconstructed } = clipColumns(settings, found);
  const columns = [original, masked, reconstructed];
  const { png, width, height } = await arrangeStills(columns, encoder);
  const out = fileOf(".png");
  await writeAtomically(out, [png]);
  const animations = [fileOf(".webp"), fileOf(".gif")];
  for (const path of animations) await writeAnimation(path, columns, encoder);
  const { loss, count: n } = found;
  return conclude(request, {
    task: "reconstruct",
    lines: [
      ...table([
        ["", ""],
        ["clips", String(n)],
        ["masked", `${100 * maskRatio} %`],
        ["mean loss of the masked cubes", loss.toFixed(4)],
      ]).slice(1),
      `Wrote ${animations.join(" and ")}: original, masked, reconstructed, in motion`,
      `Wrote ${out}, ${width} × ${height} pixels: four frames of each`,
    ],
    values: { loss: rounded(loss), n, maskRatio, out, animations },
    skipped,
  });
}

/** @throws {UsageError} If there is no such decoder. */
function decoderOf(name = "node-av"): DecoderName {
  const found = DECODERS.find((decoder) => decoder === name);
  if (found) return found;
  throw new UsageError(`Option --decoder expects one of ${DECODERS.join(", ")}, got ${name}`);
}
