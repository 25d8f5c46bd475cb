/** Golden passes of fine-tuned classifiers: features, logits, loss and every gradient. */
import { grad } from "../../src/grad.ts";
import {
  classifierFeatures,
  type ClassifierParams,
  type ClassifierSettings,
  logitsOf,
} from "../../src/models/classifier.ts";
import { inferSettings } from "../../src/models/infer.ts";
import { crossEntropy } from "../../src/ops/cross_entropy.ts";
import { permute } from "../../src/ops/shape.ts";
import type { Shape } from "../../src/tensor.ts";
import { boundOf, compare, type TensorCheck } from "./check.ts";
import {
  compute,
  type Fixture,
  floats,
  input,
  json,
  namesUnder,
  parameters,
  pick,
  tensorOf,
} from "./fixture.ts";

/**
 * Compares a `finetune_convvit` file with this code; the model's sizes are inferred from the
 * parameters' shapes.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkFinetuneConvVit(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  const shapes = new Map<string, Shape>(
    namesUnder(file, "param.").map((name) => [name, tensorOf(file, `param.${name}`).shape]),
  );
  const { settings, classes, pooling } = inferSettings(shapes, { heads: json(file, "num_heads") });
  const classifier: ClassifierSettings = {
    encoder: settings,
    classes: classes!,
    pooling: pooling!,
    dropPath: json(file, "drop_path_rate"),
  };
  const params = parameters<ClassifierParams>(file);
  const wanted = namesUnder(file, "grad.");
  const batch = { images: input(file, "images"), targets: input(file, "soft_targets") };
  const results = await compute(await fixture.device(), ({ params, batch }) => {
    const images = permute(batch.images, [0, 2, 3, 1]);
    const features = classifierFeatures(params, classifier, images);
    const logits = logitsOf(params, features);
    const loss = crossEntropy(logits, batch.targets);
    return { out: { features, logits, loss }, grad: grad(loss, pick(params, wanted)) };
  }, { params, batch });
  for (const [path, values] of results) {
    yield compare(path.replace(/^out\./, ""), values, floats(file, path), boundOf(path));
  }
}
