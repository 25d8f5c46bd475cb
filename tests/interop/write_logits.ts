/**
 * Writes classifiers of random parameters with their logits, for `check_logits.py` to compare.
 *
 *     XDG_RUNTIME_DIR=/tmp deno run -A tests/interop/write_logits.ts DIR
 *
 * Two models, of other sizes and with the other pooling: `DIR/a.model.safetensors` and
 * `DIR/a.logits.safetensors`, and likewise `b`.
 */
import { findRecipe } from "../../pipelines/recipes/mod.ts";
import { toSafetensors } from "../../src/checkpoint.ts";
import { openDevice } from "../../src/device.ts";
import {
  classifierFeatures,
  type ClassifierSettings,
  initClassifier,
  logitsOf,
} from "../../src/models/classifier.ts";
import type { EncoderSettings } from "../../src/models/encoder.ts";
import { permute } from "../../src/ops/shape.ts";
import { read } from "../../src/plan/read.ts";
import { fold, key, normal } from "../../src/random.ts";
import { writeSafetensors } from "../../src/safetensors.ts";
import { sizeOf, type Tensor, tensor } from "../../src/tensor.ts";
import { map } from "../../src/tree.ts";

const [folder] = Deno.args;
if (!folder) throw new Error("Name a folder to write to");
await Deno.mkdir(folder, { recursive: true });
const device = await openDevice();
const { model } = findRecipe("quickstart");
const models: Readonly<Record<string, ClassifierSettings>> = {
  a: { encoder: model, classes: 10, pooling: "mean", dropPath: 0 },
  b: {
    encoder: {
      ...model,
      ...{ imageSize: [96, 96], patchSizes: [4, 2, 2], embedDims: [16, 24, 32], depths: [2, 1, 3] },
      ...{ mlpRatios: [2, 3, 4], kernelSize: 7, heads: 4 },
    } as EncoderSettings,
    ...{ classes: 7, pooling: "token", dropPath: 0 },
  },
};
for (const [name, settings] of Object.entries(models)) {
  // Every parameter carries noise, so that zeros and ones hide nothing.
  let calls = 0;
  const noise = (shape: readonly number[]) =>
    tensor(normal(fold(key(1), calls++), sizeOf(shape)).map((z) => 0.1 * z), shape);
  const drawn = initClassifier(settings, { uniform: noise, normal: noise });
  const noisy = map<Tensor, Tensor, typeof drawn>(drawn, ({ shape }) => noise(shape));
  const [height, width] = settings.encoder.imageSize;
  const images = tensor(normal(key(2), 4 * 3 * height * width), [4, 3, height, width]);
  const features = classifierFeatures(noisy, settings, permute(images, [0, 2, 3, 1]));
  const logits = await read(device, logitsOf(noisy, features));
  await writeSafetensors(`${folder}/${name}.model.safetensors`, toSafetensors(noisy), {
    format: "pt",
    model: JSON.stringify(settings.encoder),
  });
  await writeSafetensors(
    `${folder}/${name}.logits.safetensors`,
    toSafetensors({ images, logits: tensor(logits, [4, settings.classes]) }),
  );
}
device.gpu.destroy();
