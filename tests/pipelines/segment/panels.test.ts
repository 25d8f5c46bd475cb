import assert from "node:assert/strict";
import type { MaskPicture } from "../../../data/masks/evaluation_loader.ts";
import { legendOf, overlay } from "../../../pipelines/segment/overlay.ts";
import { drawingOf, segmentPanels, spreadPairs } from "../../../pipelines/segment/panels.ts";
import type { Predictor } from "../../../pipelines/segment/predict.ts";
import { write, writePairs } from "../../data/masks/pairs.ts";
import { temporaryFolder } from "../../data/temporary_folder.ts";
import { namesOf } from "./tiny_segmenters.ts";

const NORMAL = { mean: [0.5, 0.4, 0.3], std: [0.25, 0.2, 0.3] };
const READER = {
  ...{ workers: 1, channels: 3, scale: null, ...NORMAL },
  rule: { classes: 4, ignoreIndex: 255, reduceZeroLabel: false },
};
const LEGEND = legendOf(4);

Deno.test("spreadPairs() takes others in the place of bad ones", async () => {
  await using folder = await temporaryFolder();
  const root = folder.path;
  const source = await writePairs(root, namesOf("pair", 6), { width: 24, height: 24 });
  const shown = async (count: number) =>
    (await spreadPairs(source, count, READER)).map(({ name }) => name.slice("images/pair/".length));
  assert.deepEqual(await shown(2), ["1.png", "4.png"]);
  await write(root, { "masks/pair/1.png": "bad", "masks/pair/3.png": "bad" });
  assert.deepEqual(await shown(1), ["0.png"]);
  assert.deepEqual(await shown(3), ["5.png", "0.png", "2.png"]);
  assert.equal((await shown(9)).length, 4);
});

Deno.test("drawingOf() lays truth and prediction over the image at the size of the mask", async () => {
  await using folder = await temporaryFolder();
  const source = await writePairs(folder.path, ["a"], { width: 24, height: 20 });
  const [picture] = await spreadPairs(source, 1, READER);
  const predicted = Uint16Array.from(picture.labels, (label) => 3 - label);
  const { size, original, truth, prediction } = drawingOf(picture, predicted, NORMAL, LEGEND);
  assert.deepEqual(size, [20, 24]);
  // Red is 20 times the class, see writePairs().
  picture.labels.forEach((label, i) =>
    assert.deepEqual([...original.subarray(3 * i, 3 * i + 3)], [20 * label, 0, 255])
  );
  assert.deepEqual(truth, overlay(original, picture.labels, LEGEND));
  assert.deepEqual(prediction, overlay(original, predicted, LEGEND));
  const half = { ...picture, width: 12, height: 10, image: picture.image.slice(0, 12 * 10 * 3) };
  assert.equal(drawingOf(half, predicted, NORMAL, LEGEND).original.length, 20 * 24 * 3);
});

Deno.test("segmentPanels() keeps truth once and a prediction a step, of images of any size", async () => {
  await using folder = await temporaryFolder();
  const pairs = await writePairs(folder.path, ["a", "b"], { width: 60, height: 20 });
  const pictures = await spreadPairs(pairs, 2, READER);
  let answer: (labels: Uint32Array) => ArrayLike<number> = (labels) => labels;
  const predictor = {
    predict: (picture: unknown, size: unknown) => {
      assert.deepEqual(size, [20, 60]);
      return Promise.resolve(Uint16Array.from(answer((picture as MaskPicture).labels)));
    },
  } as unknown as Predictor;
  const panels = segmentPanels(predictor, pictures, NORMAL, LEGEND, [32, 32], folder.path);
  await panels.draw(1);
  const panel = (name: string) => Deno.readFile(`${folder.path}/panels/${name}.png`);
  const truth = await panel("truth");
  assert.deepEqual(
    await panel("step-000001"),
    truth,
    "a prediction that is right looks like the truth",
  );
  answer = (labels) => labels.map((label) => 3 - label);
  await Deno.remove(`${folder.path}/panels/truth.png`);
  await panels.draw(2);
  assert.notDeepEqual(await panel("step-000002"), truth);
  const names = await Array.fromAsync(Deno.readDir(`${folder.path}/panels`), ({ name }) => name);
  assert.deepEqual(names.sort(), ["original.png", "step-000001.png", "step-000002.png"]);
});
