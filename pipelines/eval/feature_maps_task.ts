import { normalise } from "../../data/augment.ts";
import type { Image } from "../../data/resize.ts";
import { writeAtomically } from "../../src/atomic_file.ts";
import { openDevice } from "../../src/device.ts";
import { strideOf } from "../../src/models/mcmae.ts";
import type { Pretrained } from "../../src/pretrained.ts";
import { arrange } from "../picture.ts";
import { evaluationCrops } from "../reconstruction.ts";
import { UsageError } from "../usage.ts";
import { coloursOf, enlarge, type Mode, MODES } from "./feature_maps.ts";
import { prepareFeatures } from "./features.ts";
import { openModel, parseRequest, positiveOption, readingFor } from "./request.ts";
import { checkOutput, conclude } from "./result.ts";
import { openShown } from "./splits.ts";

/** `deno task eval featuremaps`: what each stage sees in an image. */
export async function featureMapsTask(args: readonly string[]): Promise<number> {
  const request = parseRequest(args, {
    out: { type: "string" },
    images: { type: "string", default: "6" },
    mode: { type: "string", default: "pca" },
    split: { type: "string" },
  });
  const { values, data, settings: { batch: { micro } }, isGiven } = request;
  const count = positiveOption("images", values.images);
  const mode = values.mode as Mode;
  if (!MODES.includes(mode)) {
    throw new UsageError(`Option --mode expects pca or mean, got ${mode || "nothing"}`);
  }
  const out = await checkOutput(values.out, [".png"], data);
  const source = await openShown(data, values.split);
  const model = await openModel(request);
  const { mean, std, crop: { cropPct } } = readingFor(request, model);
  const skipped = new Map<string, string>();
  const crops = await evaluationCrops(
    {
      model: model.settings,
      data: { cache: null, cacheSide: 0, ...cropPct !== undefined && { cropPct } },
    },
    source,
    count,
    (name, reason) => skipped.set(name, reason),
  );
  const { imageSize } = model.settings;
  const stages = stagesOf(model);
  const device = await openDevice();
  const inference = await prepareFeatures(
    device,
    model,
    {
      layers: stages.map(({ name }) => name),
      pooled: false,
      ...isGiven("batch.micro") && { batch: micro },
    },
    crops.length,
  );
  const found: Record<string, Float32Array>[] = [];
  try {
    for (let at = 0; at < crops.length; at += inference.batch) {
      const shown = crops.slice(at, at + inference.batch);
      const images = joined(shown.map((crop) => normalise(crop, mean, std)));
      found.push(await inference.run(images, shown.length));
    }
  } finally {
    inference.destroy();
  }
  const columns = [
    originals(crops),
    ...stages.map(({ name, grid }) => {
      const channels = inference.shapes[name].at(-1)!;
      const values = joined(found.map((batch) => batch[name]));
      return enlarge(coloursOf(values, channels, mode), grid, imageSize);
    }),
  ];
  const { png, width, height } = await arrange(columns, { model: model.settings });
  await writeAtomically(out, [png]);
  const how = mode === "pca"
    ? "first three principal components as red, green, blue"
    : "mean of the channels";
  return conclude(request, {
    task: "featuremaps",
    lines: [
      `Wrote ${out}, ${width} × ${height} pixels: a row an image`,
      `columns: input, ${
        stages.map(({ name, grid }) => `${name.toUpperCase()} (${grid.join(" × ")})`).join(", ")
      }; ${how}`,
    ],
    values: { n: crops.length, mode, columns: ["input", ...stages.map(({ name }) => name)], out },
    skipped,
  });
}

/** The stages of a model and the sizes of their maps. */
function stagesOf({ settings }: Pretrained): { name: string; grid: [number, number] }[] {
  const [H, W] = settings.imageSize;
  const stage = (name: string, stride: number) => ({
    name,
    grid: [H / stride, W / stride] as [number, number],
  });
  if (settings.kind === "mae") return [stage("e3", settings.patchSize)];
  const [p1, p2] = settings.patchSizes;
  return [stage("e1", p1), stage("e2", p1 * p2), stage("e3", strideOf(settings))];
}

function joined(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Colours of images, `[N, H, W, 3]`; the first channel is grey where there are fewer. */
function originals(crops: readonly Image[]): Uint8Array {
  return Uint8Array.from(
    crops.flatMap(({ pixels, channels }) =>
      Array.from({ length: 3 * pixels.length / channels }, (_, i) => {
        const channel = Math.min(i % 3, channels - 1);
        return pixels[Math.floor(i / 3) * channels + channel];
      })
    ),
  );
}
