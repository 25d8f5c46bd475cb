import { openDevice } from "../../src/device.ts";
import type { ImageSource } from "../../data/source.ts";
import { startCount } from "../count.ts";
import { labelledImages } from "../labelled.ts";
import { table } from "../table.ts";
import { UsageError } from "../usage.ts";
import { extractFeatures } from "./features.ts";
import { knnAccuracy } from "./knn.ts";
import { extractionOf, openModel, parseRequest, positiveOption } from "./request.ts";
import { conclude, percent, rounded } from "./result.ts";

/** `deno task eval knn`: how well the nearest training images tell the class of others. */
export async function knnTask(args: readonly string[]): Promise<number> {
  const request = parseRequest(args, {
    val: { type: "string" },
    k: { type: "string", default: "20" },
    temperature: { type: "string", default: "0.07" },
  });
  const { values, data } = request;
  const k = positiveOption("k", values.k);
  const temperature = Number(values.temperature);
  if (!(temperature > 0 && Number.isFinite(temperature))) {
    throw new UsageError(
      `Option --temperature expects a positive number, got ${values.temperature}`,
    );
  }
  const { valShare } = request.settings.data;
  const { train, val, classes } = await labelledImages({
    path: data,
    ...{ valPath: values.val ?? null, valShare },
  });
  if (!val) {
    throw new UsageError(
      `Cannot classify ${data}: it has no splits train and val; add --val DIR or data.valShare=0.2`,
    );
  }
  const model = await openModel(request);
  const options = extractionOf(request, model);
  const device = await openDevice();
  const labelled = async (source: ImageSource) => {
    const onProgress = startCount(source.length);
    const { features: { global: features }, ...rest } = await extractFeatures(
      ...[device, model, source] as const,
      { ...options, onProgress },
    );
    return { features, labels: rest.labels!, skipped: rest.skipped };
  };
  const [known, asked] = [await labelled(train), await labelled(val)];
  const { top1, top5 } = await knnAccuracy(device, {
    ...{ train: known, val: asked, classes, k, temperature },
  });
  const [nTrain, n] = [known.labels.length, asked.labels.length];
  return conclude(request, {
    task: "knn",
    lines: table([
      [`${k} nearest neighbours`, ""],
      ["images that vote", String(nTrain)],
      ["images classified", String(n)],
      ["classes", String(classes)],
      ["top-1", percent(top1)],
      ["top-5", percent(top5)],
    ]),
    values: { top1: rounded(top1), top5: rounded(top5), n, nTrain, classes, k, temperature },
    skipped: new Map([...known.skipped, ...asked.skipped]),
  });
}
