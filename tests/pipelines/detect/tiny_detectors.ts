/** Very small detectors, and what they are trained on: squares of two colours. */
import type { McmaeSettings } from "../../../src/models/mcmae.ts";
import { writeSquares } from "../../data/things/squares.ts";
import { MCMAE, writeAutoencoder } from "../tiny_models.ts";

/** An encoder whose maps are at strides 4, 8 and 16. */
export const ENCODER: McmaeSettings = {
  ...MCMAE,
  ...{ imageSize: [64, 64], patchSizes: [4, 2, 2], embedDims: [16, 16, 16] },
};

/** Fields of a run on images of 64 pixels. */
export const TINY_DETECTOR = [
  ...["model.imageSize=64,64", "model.globalBlocks=0", "model.windowSize=2"],
  ...["model.outChannels=16", "model.headWidth=32", "model.rpnConvolutions=1", "model.norm=LN"],
  ...["model.dropPath=0", "batch.micro=4", "batch.effective=4", "data.mostThings=3"],
  ...["data.valShare=0", "data.workers=1", "data.jitter=0.9,1.1", "optimizer.weightDecay=0"],
  ...["sampling.before=60", "sampling.after=16", "sampling.anchors=32", "sampling.regions=16"],
  ...["optimizer.blr=0.32", "optimizer.clipNorm=1", "report.images=2"],
  ...["schedule.epochs=30", "schedule.warmupEpochs=1"],
];

/** Writes images to train and validate on, and a pretrained encoder. */
export async function writeTraining(data: string, pretrained: string): Promise<void> {
  await writeSquares(`${data}/train`, 16);
  await writeSquares(`${data}/val`, 4, 20);
  await writeAutoencoder(pretrained, ENCODER);
}
