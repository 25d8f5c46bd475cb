import assert from "node:assert/strict";
import { findMasks } from "../../../data/masks/find.ts";
import { holdOutMasks, type MaskSource, pairName } from "../../../data/masks/source.ts";
import { holdOut } from "../../../data/split.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { write } from "./pairs.ts";

/** Writes empty files, as these are found by name, and texts. */
async function lay(root: string, names: readonly string[], texts: Record<string, string> = {}) {
  await write(root, { ...Object.fromEntries(names.map((name) => [name, ""])), ...texts });
}

/** Paths of a source's pairs below its folder. */
function paths({ images, masks, root, length }: MaskSource) {
  assert.equal(length, images.length);
  const below = (files: readonly string[]) => files.map((file) => file.slice(root.length + 1));
  return [below(images), below(masks)];
}

async function rejects(path: string, message: RegExp): Promise<void> {
  await assert.rejects(findMasks(path), { name: "DataError", message });
}

Deno.test("findMasks() reads ADE20K's folders and names", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await lay(path, [
    ...["images/training/t_2.jpg", "images/training/t_1.jpg", "images/validation/v_1.jpg"],
    ...["annotations/training/t_1.png", "annotations/training/t_2.png"],
    ...["annotations/validation/v_1.png", "sceneCategories.txt"],
  ], {
    "objectInfo150.txt": "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.15\t11664\t1172\t1\twall\n" +
      "2\t0.1\t6046\t612\t1\tbuilding, edifice\r\n3\t0.08\t8265\t796\t1\tsky\n",
  });
  const { train, val } = await findMasks(`${path}/`);
  assert.deepEqual(paths(train), [
    ["images/training/t_1.jpg", "images/training/t_2.jpg"],
    ["annotations/training/t_1.png", "annotations/training/t_2.png"],
  ]);
  assert.deepEqual(paths(val!), [
    ["images/validation/v_1.jpg"],
    ["annotations/validation/v_1.png"],
  ]);
  assert.deepEqual(train.classes, ["wall", "building", "sky"]);
  assert.deepEqual(val!.classes, train.classes);
  assert.equal(pairName(train, 1), "images/training/t_2.jpg");
});

Deno.test("findMasks() reads images and masks without a split, by paths without extensions", async () => {
  for (const masks of ["masks", "annotations", "labels"]) {
    await using folder = await temporaryFolder();
    const { path } = folder;
    await lay(path, [
      ...["images/b/2.x.webp", "images/1.jpeg", "images/.hidden.png", "images/notes.txt"],
      ...[`${masks}/1.png`, `${masks}/b/2.x.png`],
    ]);
    const { train, val } = await findMasks(path);
    assert.deepEqual(paths(train), [
      ["images/1.jpeg", "images/b/2.x.webp"],
      [`${masks}/1.png`, `${masks}/b/2.x.png`],
    ]);
    assert.equal(val, undefined);
    assert.ok(!("classes" in train));
  }
});

Deno.test("findMasks() reads splits within folders or folders within splits, and classes.txt", async () => {
  const layouts = [
    ["images/train", "masks/training", "images/val", "masks/validation"],
    ["train/images", "train/masks", "val/images", "val/labels"],
  ];
  for (const [trainImages, trainMasks, valImages, valMasks] of layouts) {
    await using folder = await temporaryFolder();
    const { path } = folder;
    await lay(path, [
      ...[`${trainImages}/a.jpg`, `${trainMasks}/a.png`],
      ...[`${valImages}/b.jpg`, `${valMasks}/b.png`],
    ], { "classes.txt": "road\n side walk \r\n" });
    const { train, val } = await findMasks(path);
    assert.deepEqual(paths(train), [[`${trainImages}/a.jpg`], [`${trainMasks}/a.png`]]);
    assert.deepEqual(paths(val!), [[`${valImages}/b.jpg`], [`${valMasks}/b.png`]]);
    assert.deepEqual([train.classes, val!.classes], Array(2).fill(["road", "side walk"]));
  }
});

Deno.test("findMasks() reads Pascal VOC's lists", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const lists = "ImageSets/Segmentation";
  await lay(path, [
    ...["JPEGImages/2007_1.jpg", "JPEGImages/2007_2.jpg", "JPEGImages/2007_3.jpg"],
    ...["SegmentationClass/2007_1.png", "SegmentationClass/2007_2.png"],
  ], { [`${lists}/train.txt`]: "2007_2\r\n", [`${lists}/val.txt`]: "2007_1\n" });
  const { train, val } = await findMasks(path);
  assert.deepEqual(paths(train), [["JPEGImages/2007_2.jpg"], ["SegmentationClass/2007_2.png"]]);
  assert.deepEqual(paths(val!), [["JPEGImages/2007_1.jpg"], ["SegmentationClass/2007_1.png"]]);
  assert.equal(train.classes!.length, 21);
  assert.deepEqual([train.classes![0], train.classes![20]], ["background", "tvmonitor"]);

  await Deno.writeTextFile(`${path}/${lists}/train.txt`, "2007_2\n2007_3\n");
  await rejects(path, /train\.txt: it lists 2007_3, but SegmentationClass holds no 2007_3\.png$/);
  await Deno.writeTextFile(`${path}/${lists}/train.txt`, "2007_9\n");
  await rejects(path, /train\.txt: it lists 2007_9, but JPEGImages holds no 2007_9\.jpg$/);
  await Deno.writeTextFile(`${path}/${lists}/train.txt`, "\n");
  await rejects(path, /train\.txt: it lists no image$/);
  await Deno.remove(`${path}/${lists}/train.txt`);
  await rejects(path, /^Cannot read .*train\.txt: no such file$/);
});

Deno.test("findMasks() says what is wrong with a folder", async () => {
  const cases: [files: string[], message: RegExp, texts?: Record<string, string>][] = [
    [
      ["images/a.jpg", "images/b.jpg", "images/c.jpg", "masks/a.png"],
      /^Cannot use .*\/images\/b\.jpg: it has no mask in .*\/masks, like 1 more$/,
    ],
    [
      ["images/a.jpg", "masks/a.png", "masks/b.png"],
      /^Cannot use .*\/masks\/b\.png: it has no image in .*\/images$/,
    ],
    [
      ["images/a.jpg", "images/a.png", "masks/a.png"],
      /^Cannot use .*\/images\/a\.png: .*\/images\/a\.jpg has the same name$/,
    ],
    [["images/notes.txt", "masks/a.png"], /^Cannot use folder .*\/images: it holds no image$/],
    [["images/a.jpg", "masks/a.json"], /^Cannot use folder .*\/masks: it holds no mask$/],
    [
      ["images/a.jpg", "mask/a.png"],
      /it holds images\/ but none of masks\/, annotations\/, labels\/$/,
    ],
    [
      ["images/train/a.jpg", "masks/a.png"],
      /it holds images\/train but no masks\/train or training$/,
    ],
    [
      ["images/train/a.jpg", "masks/train/a.png", "masks/val/b.png"],
      /it holds masks\/val but no images\/val or validation or valid$/,
    ],
    [["images/val/a.jpg", "masks/val/a.png"], /\/images: it holds val but no train$/],
    [["a.jpg", "a.png"], /expected images\/ and masks\/ .*, or train\/images\/.*Pascal VOC$/],
    [["val/images/a.jpg", "val/masks/a.png"], /expected images\/ and masks\//],
    [
      ["images/a.jpg", "masks/a.png"],
      /^Cannot read .*\/classes\.txt: class 1 has no name$/,
      { "classes.txt": "road\n\nsky" },
    ],
  ];
  for (const [files, message, texts] of cases) {
    await using folder = await temporaryFolder();
    await lay(folder.path, files, texts);
    await rejects(folder.path, message);
  }
  await rejects("none/here", /^Cannot read folder none\/here: no such file$/);
});

Deno.test("holdOutMasks() parts pairs by their names, as holdOut() does images", () => {
  const names = Array.from({ length: 40 }, (_, i) => `images/${i}`);
  const images = names.map((name) => `root/${name}.jpg`);
  const masks = names.map((name) => `root/${name.replace("images", "masks")}.png`);
  const source = {
    kind: "masks",
    length: 40,
    images,
    masks,
    root: "root",
    classes: ["a"],
  } as const;
  const { train, val } = holdOutMasks(source, 0.3);
  const expected = holdOut({ kind: "files", files: images, root: "root", length: 40 }, 0.3);
  for (const [part, like] of [[train, expected.train], [val, expected.val]] as const) {
    assert.ok(like.kind === "files");
    assert.deepEqual(part.images, like.files);
    assert.deepEqual(part.masks, part.images.map((image) => masks[images.indexOf(image)]));
    assert.equal(part.length, part.images.length);
    assert.deepEqual(part.classes, ["a"]);
  }
  assert.ok(val.length > 4 && val.length < 20);
});
