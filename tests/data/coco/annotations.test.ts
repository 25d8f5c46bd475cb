import assert from "node:assert/strict";
import { readAnnotations } from "../../../data/coco/annotations.ts";
import { groundTruthOf, heightsById } from "../../../data/coco/things.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { annotations, writeJson } from "./coco_files.ts";

type File = ReturnType<typeof annotations>;

/** Reads annotations after a change. */
async function read(change: (file: File) => void = () => {}) {
  await using folder = await temporaryFolder();
  const file = annotations();
  change(file);
  const path = await writeJson(`${folder.path}/gt.json`, file);
  try {
    return readAnnotations(path);
  } catch (error) {
    assert.equal((error as Error).name, "DataError");
    throw new Error((error as Error).message.replace(path, "FILE"));
  }
}

Deno.test("readAnnotations() reads lists in any order, and fills in what may be missing", async () => {
  await using folder = await temporaryFolder();
  const { images, categories, annotations: list } = annotations();
  delete images[1].file_name;
  const path = await writeJson(`${folder.path}/gt.json`, {
    ...{ info: { images: [1] }, annotations: list, licenses: [{}], categories, images },
  });
  const read = readAnnotations(path);
  assert.deepEqual(read.images, [images[0], { ...images[1], file_name: "" }]);
  assert.deepEqual(read.categories, categories);
  assert.deepEqual(read.annotations, [{ ...list[0], iscrowd: 0 }, ...list.slice(1)]);
  assert.deepEqual([7, 3, 0].map((id) => read.imageIds.get(id)), [0, 1, undefined]);
  assert.deepEqual([1, 5, 2].map((id) => read.categoryIds.get(id)), [1, 0, undefined]);
});

Deno.test("readAnnotations() tolerates boxes without area and beyond the image", async () => {
  const boxes = [[3, 3, 0, 0], [-5, -5, 3, 3], [2, 2, 1e4, 1e4], [1e6, 0, 1, 0.5]];
  const { annotations } = await read(({ annotations }) =>
    annotations.forEach((annotation, i) => annotation.bbox = boxes[i])
  );
  assert.deepEqual(annotations.map(({ bbox }) => bbox), boxes);
});

Deno.test("readAnnotations() names the first thing that is wrong", async () => {
  const box =
    "annotations[1].bbox must be [x, y, width, height] of finite numbers, the sides 0 or more";
  const segmentation = "annotations[2].segmentation";
  const change = (list: keyof File, index: number, fields: object) => (file: File) =>
    void Object.assign(file[list][index], fields);
  const mask = (segmentation: unknown) => change("annotations", 2, { segmentation });
  const size = [4, 6];
  const cases: [(file: File) => void, string][] = [
    [(file) => file.annotations = [], "its list annotations is empty"],
    [(file) => file.images = [], "its list images is empty"],
    [(file) => delete (file as Partial<File>).categories, "it has no list categories"],
    [change("images", 1, { id: 7 }), "images[0] and [1] have the same id 7"],
    [change("categories", 2, { id: 5 }), "categories[0] and [2] have the same id 5"],
    [change("annotations", 3, { id: 12 }), "annotations[1] and [3] have the same id 12"],
    [change("images", 0, { id: "7" }), "images[0].id must be an integer, got 7"],
    [change("annotations", 0, { id: undefined }), "annotations[0].id is missing"],
    [change("images", 1, { width: 0 }), "images[1].width must be a positive integer, got 0"],
    [change("images", 1, { height: 2.5 }), "images[1].height must be a positive integer, got 2.5"],
    [
      change("images", 1, { width: 1e6, height: 1e6 }),
      "images[1] has more than 536870911 pixels",
    ],
    [change("images", 0, { file_name: 1 }), "images[0].file_name must be a string, got 1"],
    [change("categories", 0, { name: undefined }), "categories[0].name is missing"],
    [
      change("annotations", 1, { category_id: 2 }),
      "annotations[1].category_id must be an id of its categories, got 2",
    ],
    [
      change("annotations", 1, { image_id: 1 }),
      "annotations[1].image_id must be an id of its images, got 1",
    ],
    [change("annotations", 1, { bbox: [1, 2, 3] }), `${box}, got [1,2,3]`],
    [change("annotations", 1, { bbox: [1, 2, -3, 4] }), `${box}, got [1,2,-3,4]`],
    [change("annotations", 1, { bbox: [1, null, 3, 4] }), `${box}, got [1,null,3,4]`],
    [change("annotations", 1, { bbox: undefined }), "annotations[1].bbox is missing"],
    [change("annotations", 1, { area: undefined }), "annotations[1].area is missing"],
    [
      change("annotations", 1, { area: -1 }),
      "annotations[1].area must be a finite number from 0 up, got -1",
    ],
    [change("annotations", 1, { iscrowd: 2 }), "annotations[1].iscrowd must be 0 or 1, got 2"],
    [(file) => file.annotations[1] = [] as never, "annotations[1] must be an object, got []"],
    [mask([]), `${segmentation} has no polygon`],
    [
      mask([[1, 2, 3, 4, 5]]),
      `${segmentation} has a polygon that is no list x, y, x, y … of three points or more`,
    ],
    [
      mask([[1, 2, 3, 4, 5, 1e9]]),
      `${segmentation} has a polygon that is no list x, y, x, y … of three points or more`,
    ],
    [mask(5), `${segmentation} must be a list of polygons or an object with counts and size`],
    [
      mask({ size }),
      `${segmentation} must be a list of polygons or an object with counts and size`,
    ],
    [
      mask({ size: [6, 4], counts: "44`0" }),
      `${segmentation} must have its image's size [4,6], got [6,4]`,
    ],
    [mask({ counts: "44`0" }), `${segmentation} must have its image's size [4,6], got none`],
    [mask({ size, counts: [4, 4] }), `${segmentation} has runs of 8 pixels in an image of 24`],
    [mask({ size, counts: "44" }), `${segmentation} has runs of 8 pixels in an image of 24`],
    [mask({ size, counts: "44 " }), `${segmentation} has a broken string of runs at character 2`],
    [mask({ size, counts: "OT1" }), `${segmentation} has a run of negative length at character 0`],
    [
      mask({ size, counts: [25, -1] }),
      `${segmentation} must have counts that are a string or integers from 0 up`,
    ],
  ];
  for (const [change, reason] of cases) {
    await assert.rejects(read(change), { message: `Cannot use FILE: ${reason}` });
  }
});

Deno.test("groundTruthOf() counts images and categories by their ids, and joins polygons", async () => {
  const truth = await read(({ annotations }) => {
    annotations[0].segmentation = [[2, 1, 4, 1, 4, 5, 2, 5], [3, 1, 6, 1, 6, 5, 3, 5]];
  });
  const columns = groundTruthOf(truth, "gt.json", true);
  assert.deepEqual([...columns.image], [1, 1, 0, 0]);
  assert.deepEqual([...columns.category], [1, 0, 0, 1]);
  assert.deepEqual([...columns.isCrowd], [0, 1, 0, 0]);
  assert.deepEqual([...columns.area], [16, 80, 4, 24]);
  assert.deepEqual([...columns.boxes.subarray(8, 12)], [1, 0, 1, 4]);
  assert.deepEqual([...heightsById(truth.images)], [4, 8]);
  const alone = await read();
  assert.deepEqual(columns.masks, groundTruthOf(alone, "gt.json", true).masks);
  assert.equal(groundTruthOf(alone, "gt.json", false).masks, undefined);
});

Deno.test("groundTruthOf() needs the masks of all annotations or of none", async () => {
  const some = await read(({ annotations }) => delete annotations[2].segmentation);
  assert.throws(() => groundTruthOf(some, "gt.json", true), {
    message: "Cannot use gt.json: annotations[2].segmentation is missing",
  });
  assert.equal(groundTruthOf(some, "gt.json", false).masks, undefined);
  const none = await read(({ annotations }) => annotations.forEach((a) => delete a.segmentation));
  assert.equal(groundTruthOf(none, "gt.json", true).masks, undefined);
});
