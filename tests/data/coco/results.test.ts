import assert from "node:assert/strict";
import { readAnnotations } from "../../../data/coco/annotations.ts";
import { readResults } from "../../../data/coco/results.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { annotations, results, writeJson } from "./coco_files.ts";

/** Reads results, given as a value or as the text of a file. */
async function read(list: unknown) {
  await using folder = await temporaryFolder();
  const truth = readAnnotations(await writeJson(`${folder.path}/gt.json`, annotations()));
  const path = await writeJson(`${folder.path}/dt.json`, list);
  try {
    return readResults(path, truth);
  } catch (error) {
    assert.equal((error as Error).name, "DataError");
    throw new Error((error as Error).message.replace(path, "FILE"));
  }
}

/** Results after a change of one. */
function changed(index: number, fields: object) {
  const list = results();
  Object.assign(list[index], fields);
  return list;
}

Deno.test("readResults() counts images and categories by their ids", async () => {
  const found = await read(results());
  assert.equal(found.length, 3);
  assert.deepEqual([...found.image], [1, 0, 0]);
  assert.deepEqual([...found.category], [1, 0, 1]);
  assert.deepEqual([...found.score], [0.9, 0.8, 0.7]);
  assert.deepEqual([...found.boxes], [2, 1, 4, 4, 1, 0, 1, 4, 0, 0, 6, 4]);
  assert.deepEqual([...found.maskArea!], [16, 4, 24]);
  assert.equal(found.masks![1], "44`0");
});

Deno.test("readResults() takes the boxes of masks where there are no others, and no masks", async () => {
  const whole = await read(results());
  const masks = await read(results().map(({ bbox: _, ...result }) => result));
  assert.deepEqual(masks, whole);
  const boxes = await read(results().map(({ segmentation: _, ...result }) => result));
  assert.deepEqual(boxes.boxes, whole.boxes);
  assert.equal(boxes.masks, undefined);
});

Deno.test("readResults() takes no results, any score, and boxes wherever they are", async () => {
  const none = await read([]);
  assert.deepEqual([none.length, none.masks, none.boxes.length], [0, [], 0]);
  const { score, boxes } = await read(changed(1, { score: -3, bbox: [-7, 90, 0, 1e5] }));
  assert.deepEqual([...score], [0.9, -3, 0.7]);
  assert.deepEqual([...boxes.subarray(4, 8)], [-7, 90, 0, 1e5]);
});

Deno.test("readResults() names the first thing that is wrong", async () => {
  const box = "[1].bbox must be [x, y, width, height] of finite numbers, the sides 0 or more";
  const text = JSON.stringify(results());
  const size = [4, 6];
  const cases: [unknown, string][] = [
    [changed(1, { image_id: 8 }), "[1].image_id must be an id of the annotations' images, got 8"],
    [changed(1, { image_id: undefined }), "[1].image_id is missing"],
    [
      changed(2, { category_id: 0 }),
      "[2].category_id must be an id of the annotations' categories, got 0",
    ],
    [changed(0, { score: undefined }), "[0].score is missing"],
    [changed(0, { score: "0.5" }), "[0].score must be a finite number, got 0.5"],
    [text.replace("0.8", "NaN"), "[1].score must be a finite number, got NaN"],
    [text.replace("0.8", "1e999"), "[1].score must be a finite number, got Infinity"],
    [text.replace("0.8", "-Infinity"), "[1].score must be a finite number, got -Infinity"],
    [changed(1, { bbox: undefined }), "[1].bbox is missing"],
    [changed(1, { bbox: [0, 0, 1, -1] }), `${box}, got [0,0,1,-1]`],
    [text.replace("[1,0,1,4]", "[1,0,NaN,4]"), `${box}, got [1,0,"NaN",4]`],
    [changed(1, { segmentation: undefined }), "[1].segmentation is missing"],
    [
      changed(1, { segmentation: { size: [8, 10], counts: "44`0" } }),
      "[1].segmentation must have its image's size [4,6], got [8,10]",
    ],
    [
      changed(1, { segmentation: { size, counts: "44a0" } }),
      "[1].segmentation has runs of 25 pixels in an image of 24",
    ],
    [
      changed(1, { segmentation: { size, counts: "44\u007f" } }),
      "[1].segmentation has a broken string of runs at character 2",
    ],
    [
      changed(0, { bbox: undefined, segmentation: undefined }),
      "[0] has neither bbox nor segmentation",
    ],
    [[...results(), null], "[3] must be an object, got null"],
  ];
  for (const [list, reason] of cases) {
    await assert.rejects(read(list), { message: `Cannot use FILE: ${reason}` });
  }
});
