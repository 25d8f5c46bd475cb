/**
 * Features in files, for PyTorch and NumPy.
 *
 * @module
 */
import type { Elements } from "../../src/elements.ts";
import { streamNpz, textArray } from "../../src/npz.ts";
import { type Safetensor, writeSafetensors } from "../../src/safetensors.ts";
import { sizeOf } from "../../src/tensor.ts";
import type { Features } from "./features.ts";

/** What a file of features holds. */
export type StoredFeatures = Pick<
  Features,
  "features" | "shapes" | "labels" | "names" | "skipped"
>;

/**
 * Features of several splits as one: names begin with the split's, as paths do.
 *
 * @param parts By split; a single one keeps its names.
 */
export function joinFeatures(
  parts: readonly (readonly [split: string | undefined, part: StoredFeatures])[],
): StoredFeatures {
  if (parts.length === 1) return parts[0][1];
  const all = parts.map(([, part]) => part);
  const layers = Object.keys(all[0].features);
  const rows = all.reduce((sum, { names }) => sum + names.length, 0);
  const joined = (layer: string) => {
    const values = new Float32Array(rows * sizeOf(all[0].shapes[layer].slice(1)));
    let at = 0;
    for (const { features } of all) {
      values.set(features[layer], at);
      at += features[layer].length;
    }
    return values;
  };
  const hasLabels = all.some(({ labels }) => labels);
  const labels = all.flatMap(({ labels, names }) => labels ? [...labels] : names.map(() => -1));
  return {
    features: Object.fromEntries(layers.map((layer) => [layer, joined(layer)])),
    shapes: Object.fromEntries(
      layers.map((layer) => [layer, [rows, ...all[0].shapes[layer].slice(1)]]),
    ),
    ...hasLabels && { labels: Int32Array.from(labels) },
    names: parts.flatMap(([split, { names }]) => names.map((name) => `${split}/${name}`)),
    skipped: new Map(all.flatMap(({ skipped }) => [...skipped])),
  };
}

/**
 * Writes features atomically: every layer under its name, `labels` where there are some, and
 * `names`: in .npz an array of texts, in .safetensors metadata as JSON.
 *
 * @throws {Error} If the file cannot be written; the message names it.
 */
export async function writeFeatures(
  path: string,
  { features, shapes, labels, names }: StoredFeatures,
): Promise<void> {
  const layers = Object.keys(features);
  const integers = labels && BigInt64Array.from(labels, BigInt); // as PyTorch takes them
  if (path.endsWith(".npz")) {
    const array = (dtype: "float32" | "int64", shape: readonly number[], values: Elements) => ({
      ...{ dtype, shape },
      read: () => Promise.resolve(values),
    });
    await streamNpz(path, [
      ...layers.map((name) => [name, array("float32", shapes[name], features[name])] as const),
      ...integers ? [["labels", array("int64", [names.length], integers)] as const] : [],
      ["names", textArray(names)],
    ]);
    return;
  }
  const tensors = layers.map((name): [string, Safetensor] => [name, {
    dtype: "F32",
    shape: shapes[name],
    data: features[name],
  }]);
  if (integers) tensors.push(["labels", { dtype: "I64", shape: [names.length], data: integers }]);
  await writeSafetensors(path, tensors, { format: "pt", names: JSON.stringify(names) });
}
