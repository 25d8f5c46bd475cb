/** Very small segmenters, images with masks to try them on, and files of both. */
import { toSafetensors } from "../../../src/checkpoint.ts";
import { type Initializer, initializer } from "../../../src/init.ts";
import { isRunning } from "../../../src/models/batch_norm.ts";
import {
  initSegmenter,
  type SegmenterParams,
  type SegmenterSettings,
} from "../../../src/models/segmenter.ts";
import { key } from "../../../src/random.ts";
import { writeSafetensors } from "../../../src/safetensors.ts";
import { type Tensor, tensor } from "../../../src/tensor.ts";
import { map } from "../../../src/tree.ts";
import { greyPng, patches, write } from "../../data/masks/pairs.ts";
import { encodePng } from "../../data/png.ts";
import { MCMAE } from "../tiny_models.ts";

/** On the encoder that `writeAutoencoder` writes, for images of 48 pixels. */
export const SEGMENTER: SegmenterSettings = {
  encoder: { ...MCMAE, imageSize: [48, 48] },
  classes: 3,
  relativePositions: "none",
  layerScale: null,
  headChannels: 8,
  auxiliaryChannels: 4,
  dropout: 0,
  dropPath: 0,
};

/** Parameters of which none is alike everywhere: scores, running moments and tables differ too. */
export function drawSegmenter(settings: SegmenterSettings, seed = 12): SegmenterParams {
  const draw = initializer(key(seed));
  const params = initSegmenter(settings, { ...draw, normal: larger(draw) });
  return map<Tensor, Tensor, SegmenterParams>(params, (leaf, path) => {
    if (path.endsWith("_table")) return draw.normal(leaf.shape, 1);
    if (!isRunning(path)) return leaf;
    const { data } = draw.uniform(leaf.shape, 0.2).source as { data: Float32Array };
    return tensor(path.endsWith("var") ? data.map((x) => 0.6 + x) : data, leaf.shape);
  });
}

/** Scores that begin near zero would be alike. */
function larger(draw: Initializer): Initializer["normal"] {
  return (shape, std) => draw.normal(shape, Math.max(std, 0.3));
}

/** Writes a segmenter, as a run of fine-tuning does. */
export async function writeSegmenter(
  path: string,
  params: SegmenterParams,
  { encoder }: SegmenterSettings,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeSafetensors(path, toSafetensors(params), {
    ...{ format: "pt", model: JSON.stringify(encoder) },
    ...{ mean: "[0.5,0.4,0.3]", std: "[0.25,0.2,0.3]" },
    masks: JSON.stringify({ ignoreIndex: 255, reduceZeroLabel: false, long: null, short: null }),
    ...more,
  });
}

/** What classes look like: red, green, blue. */
const COLOURS = [[220, 40, 40], [40, 220, 40], [40, 40, 220]];

/**
 * Writes pairs `images/NAME.png`, `masks/NAME.png` in which a class is a colour, and names of the
 * classes.
 *
 * @param names With folders, such as `train/1`.
 */
export async function writeColours(
  root: string,
  names: readonly string[],
  { width = 48, height = 48, classes = ["red", "green", "blue"] } = {},
): Promise<void> {
  for (const [seed, name] of names.entries()) {
    const labels = patches(width, height, { classes: 3, patch: 16, seed });
    const samples = labels.flatMap((label, i) => COLOURS[label].map((value) => value + i * 7 % 30));
    await write(root, {
      [`images/${name}.png`]: encodePng({ width, height, type: 2, samples }),
      [`masks/${name}.png`]: greyPng(width, height, labels),
    });
  }
  if (classes.length > 0) await write(root, { "classes.txt": `${classes.join("\n")}\n` });
}

/** Names of pairs of a split. */
export function namesOf(split: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${split}/${i}`);
}

/** Fields of a run that `SEGMENTER` has the shapes of, for images of 48 pixels as they are. */
export const TINY_SEGMENTER = [
  ...["model.imageSize=48,48", "model.headChannels=8", "model.auxiliaryChannels=4"],
  ...["model.dropout=0", "model.dropPath=0", "batch.micro=4", "batch.effective=4"],
  ...["data.valShare=0", "data.workers=1", "data.photometric=false", "data.resize.ratio=1,1"],
  ...["optimizer.blr=1.28", "optimizer.layerDecay=1", "report.images=2"],
  ...["schedule.epochs=12", "schedule.warmupEpochs=0"],
];
