import assert from "node:assert/strict";
import { DataError } from "../../../data/dataset.ts";
import { findThings } from "../../../data/things/find.ts";
import { holdOutThings, thingName, withThings } from "../../../data/things/source.ts";
import { write } from "../masks/pairs.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { annotationsOf, squaresOf } from "./squares.ts";

const both = { "a.jpg": squaresOf(0), "b.jpg": squaresOf(1) };
const annotations = (change: (all: ReturnType<typeof annotationsOf>) => void = () => {}) => {
  const all = annotationsOf(both);
  change(all);
  return JSON.stringify(all);
};
const files = (folder: string) => ({ [`${folder}a.jpg`]: "", [`${folder}b.jpg`]: "" });

async function refused(root: string, sentence: string | RegExp): Promise<void> {
  await assert.rejects(findThings(root), (error: Error) => {
    assert.ok(error instanceof DataError);
    if (typeof sentence === "string") assert.equal(error.message, sentence);
    else assert.match(error.message, sentence);
    return true;
  });
}

Deno.test("findThings() knows COCO's layout, and images beside their annotations or in images/", async () => {
  const layouts: [files: Record<string, string>, train: string, val?: string][] = [
    [
      {
        "annotations/instances_train2017.json": annotations(),
        "annotations/instances_val2017.json": annotations(),
        ...files("train2017/"),
        ...files("val2017/"),
      },
      "train2017/",
      "val2017/",
    ],
    [{ "instances.json": annotations(), ...files("images/") }, "images/"],
    [{ "_annotations.coco.json": annotations(), ...files("") }, ""],
    [
      {
        "train/instances.json": annotations(),
        "valid/annotations.json": annotations(),
        ...files("train/images/"),
        ...files("valid/"),
      },
      "train/images/",
      "valid/",
    ],
  ];
  for (const [written, first, second] of layouts) {
    await using folder = await temporaryFolder();
    await write(folder.path, written);
    const { train, val } = await findThings(`${folder.path}/`);
    assert.deepEqual(train.images, [
      `${folder.path}/${first}a.jpg`,
      `${folder.path}/${first}b.jpg`,
    ]);
    assert.equal(thingName(train, 1), `${first}b.jpg`);
    assert.equal(val?.images[0], second && `${folder.path}/${second}a.jpg`);
  }
});

Deno.test("findThings() gives things by image, categories by id, and leaves crowds out", async () => {
  await using folder = await temporaryFolder();
  await write(folder.path, {
    ...files("images/"),
    "instances.json": annotations(({ annotations }) => {
      annotations[1].iscrowd = 1;
      annotations[1].segmentation = undefined;
    }),
  });
  const { train } = await findThings(folder.path);
  assert.deepEqual(train.categories.map(({ name }) => name), ["red", "blue"]);
  assert.deepEqual(train.things.map((list) => list.map(({ category }) => category)), [[0], [0, 1]]);
  assert.deepEqual(train.ids, [10, 11]);
  assert.deepEqual(train.sizes, [[64, 64], [64, 64]]);
  const { things: [, [{ segmentation }]] } = train;
  const [{ x, y, side }] = squaresOf(1);
  assert.deepEqual((segmentation as number[][])[0].slice(0, 3), [x, y, x + side]);
});

Deno.test("withThings() leaves out images that show none; holdOutThings() splits by names", async () => {
  await using folder = await temporaryFolder();
  const names = Array.from({ length: 30 }, (_, i) => `${i}.jpg`);
  const all = annotationsOf(
    Object.fromEntries(names.map((name, i) => [name, i % 3 === 0 ? [] : squaresOf(i)])),
  );
  await write(folder.path, {
    "instances.json": JSON.stringify(all),
    ...Object.fromEntries(names.map((name) => [`images/${name}`, ""])),
  });
  const { train: source } = await findThings(folder.path);
  const shown = withThings(source);
  assert.equal(shown.length, 20);
  assert.ok(shown.things.every(({ length }) => length === 2));
  const { train, val } = holdOutThings(source, 0.3);
  assert.deepEqual([...train.ids, ...val.ids].sort(), [...source.ids].sort());
  assert.ok(val.length > 3 && val.length < 16);
  for (const [i, id] of val.ids.entries()) {
    const at = source.ids.indexOf(id);
    assert.equal(val.images[i], source.images[at]);
    assert.equal(val.things[i], source.things[at]);
  }
});

Deno.test("findThings() says what is wrong with a folder or its annotations", async () => {
  await using folder = await temporaryFolder();
  const root = folder.path;
  await refused(root, /^Cannot use folder \S+: it does not hold instances\.json \(or /);
  await write(root, { "val/instances.json": annotations(), ...files("val/") });
  await refused(root, `Cannot use folder ${root}: it has no split to train on`);
  await write(root, { "train/instances.json": annotations(), "train/b.jpg": "" });
  await refused(
    root,
    `Cannot use ${root}/train/instances.json: images[0].file_name a.jpg is not in ${root}/train`,
  );
  await Deno.remove(`${root}/train/b.jpg`);
  await refused(root, /a\.jpg is not in \S+\/train, as are 1 more of 2$/);
  await write(root, files("train/"));
  assert.equal((await findThings(root)).val?.length, 2);
  await write(root, {
    "val/instances.json": annotations(({ categories }) => categories[0].name = "green"),
  });
  await refused(
    root,
    `Cannot use ${root}/val/instances.json: its categories are not those of ` +
      `${root}/train/instances.json`,
  );
  await write(root, {
    "train/instances.json": annotations(({ annotations }) => delete annotations[2].segmentation),
  });
  await refused(
    root,
    `Cannot use ${root}/train/instances.json: annotations[2].segmentation is missing`,
  );
});
