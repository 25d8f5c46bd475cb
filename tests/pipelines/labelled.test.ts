import assert from "node:assert/strict";
import { labelledImages } from "../../pipelines/labelled.ts";
import { UsageError } from "../../pipelines/usage.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";

/** Makes empty files: none is opened. */
async function touch(root: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = `${root}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    if (!name.endsWith("/")) await Deno.writeTextFile(path, "");
  }
}

async function fails(
  settings: Parameters<typeof labelledImages>[0],
  message: string,
): Promise<void> {
  await assert.rejects(labelledImages(settings), (error) => {
    assert.ok(error instanceof UsageError);
    assert.equal(error.message, message);
    return true;
  });
}

Deno.test("labelledImages() gives classes by name, of folders with and without splits", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await touch(path, ["flat/b/1.png", "flat/a/2.png", "flat/.hidden/", "flat/notes.txt"]);
  const flat = await labelledImages({ path: `${path}/flat` });
  assert.deepEqual([flat.classes, flat.classNames, flat.val], [2, ["a", "b"], undefined]);
  await touch(path, ["split/train/a/1.png", "split/train/b/1.png", "split/val/b/1.png"]);
  const { classes, classNames, train, val } = await labelledImages({ path: `${path}/split` });
  assert.deepEqual([classes, classNames], [2, ["a", "b"]]);
  assert.deepEqual([[...train.labels!], [...val!.labels!]], [[0, 1], [1]]);
});

Deno.test("labelledImages() counts classes of lists up to the largest label to train on", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await Deno.writeTextFile(`${path}/train.txt`, "1.png 0\n2.png 4\n");
  await Deno.writeTextFile(`${path}/val.txt`, "3.png 3\n");
  const { classes, classNames } = await labelledImages({ path });
  assert.deepEqual([classes, classNames], [5, undefined]);
  await Deno.writeTextFile(`${path}/val.txt`, "3.png 3\n4.png 5\n");
  await fails(
    { path },
    `Cannot use ${path}/val.txt: it has the label 5, but those to train on end at 4`,
  );
});

Deno.test("labelledImages() refuses a class folder without images, in any split", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await touch(path, ["train/a/1.png", "train/b/1.png", "val/a/1.png", "val/c/note.txt"]);
  await fails(
    { path },
    `Cannot use ${path}/val: the folder ${path}/val/c holds no image; fill or remove it`,
  );
  await Deno.remove(`${path}/val`, { recursive: true });
  await touch(path, ["train/empty/"]);
  const train = `${path}/train`;
  await fails(
    { path: train, valShare: 0.5 },
    `Cannot use ${train}: the folder ${train}/empty holds no image; fill or remove it`,
  );
});

Deno.test("labelledImages() takes a class that is held out whole for no empty folder", async () => {
  await using folder = await temporaryFolder();
  const names = Array.from({ length: 6 }, (_, i) => `${"abcdef"[i]}/1.png`);
  await touch(folder.path, names);
  const { classes, train, val } = await labelledImages({ path: folder.path, valShare: 0.5 });
  assert.deepEqual([classes, train.length + val!.length], [6, 6]);
});

Deno.test("labelledImages() refuses missing labels and names the folder or list", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await touch(path, ["flat/1.png", "flat/a/2.png", "one/a/1.png"]);
  await fails(
    { path: `${path}/flat` },
    `Cannot use ${path}/flat: its images have no labels; ` +
      "put each one into a folder with the name of its class",
  );
  await fails(
    { path: `${path}/one` },
    `Cannot use ${path}/one: all images are of one class, a; ` +
      "name the folder whose subfolders are the classes",
  );
  await Deno.writeTextFile(`${path}/list`, "1.png cat\n2.png dog\n3.png\n4.png\n");
  await fails(
    { path: `${path}/list` },
    `Cannot use ${path}/list: 2 of its 4 images have no label; write a label behind each path`,
  );
  await Deno.writeTextFile(`${path}/train.txt`, "1.png cat\n2.png dog\n");
  await Deno.writeTextFile(`${path}/val.txt`, "1.png cat\n2.png\n");
  await fails(
    { path },
    `Cannot use ${path}/val.txt: 1 of its 2 images has no label; write a label behind each path`,
  );
  await Deno.writeTextFile(`${path}/val.txt`, "1.png cat\n2.png bird\n");
  await fails({ path }, `Cannot validate on ${path}: no training image is of class bird`);
});
