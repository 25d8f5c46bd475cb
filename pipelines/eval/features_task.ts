import { openDevice } from "../../src/device.ts";
import { startCount } from "../count.ts";
import { table } from "../table.ts";
import { checkFeatures, extractFeatures, type Features } from "./features.ts";
import { joinFeatures, writeFeatures } from "./feature_file.ts";
import { extractionOf, openModel, parseRequest } from "./request.ts";
import { checkOutput, conclude } from "./result.ts";
import { openSplits } from "./splits.ts";

/** `deno task eval features`: writes features of all images into a file. */
export async function featuresTask(args: readonly string[]): Promise<number> {
  const request = parseRequest(args, {
    out: { type: "string" },
    layers: { type: "string", default: "global" },
    maps: { type: "boolean" },
    split: { type: "string", default: "all" },
  });
  const { values, data } = request;
  const out = await checkOutput(values.out, [".safetensors", ".npz"]);
  const splits = await openSplits(data, values.split);
  const model = await openModel(request);
  const layers = values.layers.split(",").map((name) => name.trim());
  checkFeatures(model, layers);
  const options = { ...extractionOf(request, model), layers, pooled: !values.maps };
  const device = await openDevice();
  const parts: (readonly [string | undefined, Features])[] = [];
  for (const [name, source] of splits) {
    const onProgress = startCount(source.length);
    parts.push([name, await extractFeatures(device, model, source, { ...options, onProgress })]);
  }
  const all = joinFeatures(parts);
  await writeFeatures(out, all);
  const n = all.names.length;
  return conclude(request, {
    task: "features",
    lines: [
      ...table([
        ["layer", "shape"],
        ...Object.entries(all.shapes).map(([name, shape]) => [name, `[${shape.join(", ")}]`]),
      ]),
      `Wrote ${out}: ${n} images, by the names of their files`,
    ],
    values: { n, shapes: all.shapes, out },
    skipped: all.skipped,
  });
}
