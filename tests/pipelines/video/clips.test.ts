import assert from "node:assert/strict";
import { heldOutClips, openClips } from "../../../pipelines/video/clips.ts";
import { UsageError } from "../../../pipelines/usage.ts";
import { temporaryFolder } from "../../data/temporary_folder.ts";

/** A folder with files of these names, which nobody decodes. */
async function folderOf(...names: string[]) {
  const folder = await temporaryFolder();
  for (const name of names) {
    const path = `${folder.path}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeFile(path, new Uint8Array());
  }
  return folder;
}

const WHOLE = { valPath: null, valShare: 0, root: null, cache: null };

Deno.test("openClips() takes train/ and val/ of a folder as splits, not as classes", async () => {
  await using folder = await folderOf("train/a/1.mp4", "train/b/2.mp4", "val/b/3.mp4");
  const { train, val } = await openClips({ ...WHOLE, path: folder.path });
  assert.deepEqual([train.length, train.classes], [2, ["a", "b"]]);
  assert.deepEqual([...val!.labels!], [1]);
  const { source, isHeldOut } = await heldOutClips(folder.path, WHOLE);
  assert.deepEqual([source.length, isHeldOut], [1, true]);
});

Deno.test("openClips() leaves a test split alone, which evaluations take", async () => {
  await using folder = await folderOf("train/a/1.mp4", "test/a/2.mp4", "test/a/3.mp4");
  const { train, val } = await openClips({ ...WHOLE, path: folder.path });
  assert.deepEqual([train.length, val], [1, undefined]);
  assert.equal((await heldOutClips(folder.path, WHOLE)).source.length, 2);
});

Deno.test("openClips() holds a share of the clips to train on out, and leaves val/ unseen", async () => {
  const names = Array.from({ length: 12 }, (_, i) => `train/a/${i}.mp4`);
  await using folder = await folderOf(...names, "val/a/unseen.mp4");
  const { train, val } = await openClips({ ...WHOLE, path: folder.path, valShare: 0.5 });
  assert.ok(train.length > 0 && val!.length > 0);
  assert.equal(train.length + val!.length, names.length);
});

Deno.test("heldOutClips() says where there is no split", async () => {
  await using folder = await folderOf("a/1.mp4", "b/2.mp4");
  const { source, isHeldOut } = await heldOutClips(folder.path, WHOLE);
  assert.deepEqual([source.length, isHeldOut], [2, false]);
  await assert.rejects(heldOutClips(`${folder.path}/none`, WHOLE), UsageError);
});

Deno.test("openClips() does not part the clips of a bundled photo", async () => {
  await assert.rejects(
    openClips({ ...WHOLE, path: "bundled:motions", valShare: 0.2 }),
    (error: Error) => error instanceof UsageError && error.message.includes("data.valShare"),
  );
});
