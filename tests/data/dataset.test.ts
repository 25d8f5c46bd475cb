import assert from "node:assert/strict";
import { DataError, ignoredFiles, imageFolder } from "../../data/dataset.ts";
import { temporaryFolder } from "./temporary_folder.ts";

async function populate(root: string, names: string[]): Promise<void> {
  for (const name of names) {
    await Deno.mkdir(`${root}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(`${root}/${name}`, "");
  }
}

Deno.test("imageFolder() lists images below a folder in code-unit order, without classes", async () => {
  await using folder = await temporaryFolder();
  const images = ["B.JPG", "a.jpeg", "b.webp", "c.gif", "d.AVIF", "deep/er/c.PNG", "é.jpg"];
  const others = ["notes.txt", "._a.jpg", "x.bmp", "deep/y.BMP", "jpg"];
  await populate(folder.path, ["é.jpg", ...images, ...others]);
  const found = await imageFolder(`${folder.path}/`);
  assert.deepEqual(found, { files: images.map((name) => `${folder.path}/${name}`) });
  assert.deepEqual(await ignoredFiles(folder.path), { ".txt": 1, ".bmp": 2, "": 1 });
});

Deno.test("imageFolder() takes subfolders as classes when every image lies in one", async () => {
  await using folder = await temporaryFolder();
  await populate(folder.path, ["dog/2.jpg", "cat/1.jpg", "dog/more/0.png", "README"]);
  await Deno.mkdir(`${folder.path}/empty`);
  await Deno.symlink(`${folder.path}/cat`, `${folder.path}/puma`);
  const { files, labels, classes } = await imageFolder(folder.path);
  assert.deepEqual(classes, ["cat", "dog", "puma"]);
  assert.deepEqual(labels, [0, 1, 1, 2]);
  assert.deepEqual(
    files.map((file) => file.slice(folder.path.length)),
    ["/cat/1.jpg", "/dog/2.jpg", "/dog/more/0.png", "/puma/1.jpg"],
  );
});

Deno.test("imageFolder() names a folder that is missing, a file or empty", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await Deno.writeTextFile(`${path}/notes.txt`, "");
  const cases: [string, RegExp][] = [
    [`${path}/missing`, /Cannot read folder .*missing: no such folder$/],
    [`${path}/notes.txt`, /Cannot read folder .*notes\.txt: it is not a folder$/],
    [path, /holds no JPEG, PNG, WebP, GIF, AVIF, TIFF or \.npy image$/],
  ];
  for (const [dir, message] of cases) {
    await assert.rejects(imageFolder(dir), (error) => {
      assert.ok(error instanceof DataError && error.message.includes(dir));
      assert.match(error.message, message);
      return true;
    });
  }
});
